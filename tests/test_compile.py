"""Compiled and exported encoders: whole graphs, equal to eager, for any batch size."""

import copy

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.coders import FixedCoder, GumbelCoder, SoftmaxCoder, VQCoder
from kdgraph.codes import Prefix, random_codes
from kdgraph.composers import MLPComposer, RecurrentComposer, RingComposer, SumComposer
from kdgraph.guidance import ExponentialSchedule, TemperatureSchedule

RAGGED = (2, 6, 3, 5)


def embedding(coder, composer="concat", size=RAGGED, **options):
    return KDEmbedding(
        40,
        8,
        num_codebooks=4,
        codebook_size=size,
        coder=coder,
        composer=composer,
        **options,
    )


def prefix():
    return Prefix(torch.tensor([0, 7, 9, 9, 22, 30, 40]), (2, 3))


ENCODERS = {
    "softmax": lambda: embedding(SoftmaxCoder("free")),
    "softmax-sum-batch": lambda: embedding(
        SoftmaxCoder("free", normalize="batch"), SumComposer(norm="batch")
    ),
    "query": lambda: embedding(SoftmaxCoder(2), "sum"),
    "query-affine-mlp": lambda: embedding(
        SoftmaxCoder(2, normalize="affine"), MLPComposer(num_layers=2)
    ),
    "gumbel": lambda: embedding(GumbelCoder("free")),
    "gumbel-soft": lambda: embedding(GumbelCoder("free", hard=False), "mlp"),
    "vq": lambda: embedding(VQCoder()),
    "vq-residual": lambda: embedding(VQCoder(), "sum"),
    "threshold": lambda: embedding("threshold", size=2),
    "fixed-ring": lambda: embedding(FixedCoder(), RingComposer(rank=3)),
    "fixed-recurrent": lambda: embedding(FixedCoder(), RecurrentComposer()),
    "fixed-prefix": lambda: embedding(
        FixedCoder(random_codes(40, 2, RAGGED[2:]).prefixed(prefix())), "sum"
    ),
    "sum-int8": lambda: embedding(
        SoftmaxCoder("free"), SumComposer(code_dim=3, storage="int8")
    ),
    "mlp-bfloat16": lambda: embedding(SoftmaxCoder(2), MLPComposer(storage="bfloat16")),
    "dropout": lambda: embedding(SoftmaxCoder("free"), "mlp", code_dropout=0.5),
    "full": lambda: FullEmbedding(40, 8),
    "low-rank": lambda: LowRankEmbedding(40, 8, 3),
}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def step(call, encoder, ids):
    """Vectors and gradients, from the same random numbers."""
    torch.manual_seed(len(ids))
    encoder.zero_grad()
    x = call(ids)
    if encoder.training:
        x.square().sum().backward()
    return x.detach(), [parameter.grad for parameter in encoder.parameters()]


def check_equal(encoder, backend):
    """Compiled and eager, trained and evaluated, for batches of several sizes."""
    eager = copy.deepcopy(encoder)
    compiled = torch.compile(encoder, fullgraph=True, backend=backend)
    for training in (True, False):
        encoder.train(training)
        eager.train(training)
        for number, size in enumerate((5, 6, 9, 13)):
            ids = torch.randint(40, (size,))
            # Two graphs, of one size and then of any: no third for a third size.
            stance = "default" if number < 2 else "fail_on_recompile"
            with torch.compiler.set_stance(stance):
                x, grads = step(compiled, encoder, ids)
            expected, expected_grads = step(eager, eager, ids)
            torch.testing.assert_close(x, expected)
            torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize("name", ENCODERS)
def test_compiled_equals_eager(name, scramble):
    encoder = ENCODERS[name]()
    scramble(encoder)
    check_equal(encoder, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["softmax", "query", "vq-residual", "fixed-recurrent", "low-rank", "sum-int8"],
)
def test_generated_code_equals_eager(name, scramble):
    encoder = ENCODERS[name]()
    scramble(encoder)
    check_equal(encoder, "inductor")


@pytest.mark.parametrize("name", ["softmax-sum-batch", "vq"])
def test_encode_compiles_too(name, scramble):
    encoder = ENCODERS[name]()
    scramble(encoder)
    ids = torch.tensor([3, 3, 7])
    expected = copy.deepcopy(encoder).encode(ids)
    compiled = torch.compile(encoder.encode, fullgraph=True, backend="aot_eager")
    found = compiled(ids)
    torch.testing.assert_close(found.x, expected.x)
    torch.testing.assert_close(found.penalty, expected.penalty)
    assert torch.equal(found.selection.codes, expected.selection.codes)


@pytest.mark.parametrize("name", ["softmax", "query", "gumbel", "threshold"])
def test_cooling_does_not_recompile(name):
    encoder = ENCODERS[name]()
    cooling = TemperatureSchedule(encoder.coder, ExponentialSchedule(1.0, 0.5))
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    ids = torch.tensor([1, 2, 3])
    compiled(ids).sum().backward()
    for epoch in (1, 5, 10):
        cooling.set_progress(epoch)
        with torch.compiler.set_stance("fail_on_recompile"):
            _, grads = step(compiled, encoder, ids)
        _, expected = step(encoder, encoder, ids)
        torch.testing.assert_close(grads, expected)


# Compiled code skips our own range check, which would break the graph.
BAD_IDS = ([0, -1, 2], [1, 40, 2])


@pytest.mark.parametrize("name", ENCODERS)
def test_bad_ids_do_not_pass_compiled(name):
    encoder = ENCODERS[name]().eval()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for ids in BAD_IDS:
        with pytest.raises(IndexError):
            compiled(torch.tensor(ids))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "softmax", "query", "vq", "fixed-recurrent"])
def test_bad_ids_do_not_pass_generated_code(name):
    encoder = ENCODERS[name]().eval()
    compiled = torch.compile(encoder, fullgraph=True)
    compiled(torch.tensor([1, 2, 3]))
    for ids in BAD_IDS:
        with pytest.raises(RuntimeError, match="index out of bounds"):
            compiled(torch.tensor(ids))


@pytest.mark.parametrize("name", ENCODERS)
def test_exported_program_equals_eager(name, scramble):
    encoder = ENCODERS[name]().eval()
    scramble(encoder)
    batch = torch.export.Dim("batch", min=2, max=1000)
    program = torch.export.export(
        encoder, (torch.tensor([1, 2, 3]),), dynamic_shapes=({0: batch},)
    )
    for size in (2, 7, 40):
        ids = torch.randint(40, (size,))
        torch.testing.assert_close(program.module()(ids), encoder(ids))
