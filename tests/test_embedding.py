"""KDEmbedding: sizes, bytes by hand, memory, dropout and the edges of the ranges."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdgraph import KDEmbedding, PackedEmbedding, coded
from kdgraph.coders import (
    FixedCoder,
    GumbelCoder,
    SoftmaxCoder,
    ThresholdCoder,
    VQCoder,
)
from kdgraph.composers import (
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    RingComposer,
    SumComposer,
)
from kdgraph.ops import straight_through


def make(coder="softmax", composer="concat", num_nodes=100, dim=16, **options):
    options = {"num_codebooks": 4, "codebook_size": 8} | options
    return KDEmbedding(num_nodes, dim, coder=coder, composer=composer, **options)


# --- bytes by hand: 100 nodes, C = 16, D = 4, K = 8: 12 bits, so 2 bytes a node -------


@pytest.mark.parametrize(
    ("composer", "floats"),
    [
        (SumComposer(), 32 * 16),
        (SumComposer(3), 32 * 3 + 3 * 16 + 16),
        (SumComposer(shared=True), 8 * 16),
        (SumComposer(norm="batch"), 32 * 16 + 4 * 16),
        (SumComposer(norm="layer"), 32 * 16 + 2 * 16),
        (ConcatComposer(), 32 * 4),
        (ConcatComposer(5), 32 * 5 + 20 * 16 + 16),
        (MLPComposer(), 32 * 4 + (16 * 16 + 16) * 2),
        (MLPComposer(pool="mean", num_layers=2), 32 * 16 + (16 * 16 + 16) * 3),
        # 16 = 2 x 2 x 2 x 2 channels: two matrices a codeword.
        (RingComposer(rank=3), 32 * 2 * 9),
        (RecurrentComposer(), 32 * 4 + 32 * (4 + 8 + 2) + 8 * 16 + 16),
        (
            RecurrentComposer(hidden_dim=3, bidirectional=True),
            32 * 4 + 2 * 12 * (4 + 3 + 2) + 6 * 16 + 16,
        ),
    ],
    ids=repr,
)
def test_inference_bytes(composer, floats):
    encoder = make(composer=composer)
    assert encoder.inference_bytes() == 100 * 2 + 4 * floats
    assert encoder.export().inference_bytes() == 100 * 2 + 4 * floats
    assert encoder.bfloat16().inference_bytes() == 100 * 2 + 2 * floats


@pytest.mark.parametrize(
    ("coder", "trained", "kept"),
    [
        # Buffers: offsets (4 x 8 bytes); logits have a temperature and head starts.
        (SoftmaxCoder("free"), 100 * 32, 32 + 4 + 32 * 4),
        (GumbelCoder("free"), 100 * 32, 32 + 4 + 32 * 4),
        (SoftmaxCoder(2), 100 * 8 + 32 * 2, 32 + 4 + 32 * 4),
        (SoftmaxCoder("free", normalize="batch"), 100 * 32, 32 + 4 + 32 * 4 + 64 * 4),
        (
            SoftmaxCoder("free", normalize="affine"),
            100 * 32 + 64,
            32 + 4 + 32 * 4 + 64 * 4,
        ),
        (VQCoder(), 100 * 16, 32),
        (FixedCoder(), 0, 32 + 100 * 2),
    ],
    ids=repr,
)
def test_training_bytes(coder, trained, kept):
    encoder = make(coder)
    assert encoder.training_bytes("adam") == 16 * (trained + 32 * 4) + kept
    assert encoder.training_bytes("sgd") == 8 * (trained + 32 * 4) + kept
    encoder.composer.requires_grad_(False)
    assert encoder.training_bytes("adam") == 16 * trained + 4 * 32 * 4 + kept


def test_training_bytes_of_thresholds_and_residuals():
    threshold = make(ThresholdCoder(), codebook_size=2)
    assert threshold.training_bytes("adam") == 16 * (100 * 4 + 8 * 4) + 32 + 4
    residual = make(VQCoder(), "sum")
    assert residual.training_bytes("adam") == 16 * (100 * 16 + 32 * 16) + 32


# --- memory ---------------------------------------------------------------------------


class _Largest(TorchDispatchMode):
    """The most elements any operation gives back."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                held = leaf._values() if leaf.is_sparse else leaf
                self.elements = max(self.elements, held.numel())
        return out


NODES, BATCH = 5_000, 8


@pytest.mark.parametrize(
    ("coder", "bound"),
    [
        # What is learned per node has a dense gradient; nothing else grows with N.
        (SoftmaxCoder(2), NODES * 4 * 2),
        (SoftmaxCoder(2, normalize="affine"), NODES * 4 * 2),
        (GumbelCoder(2), NODES * 4 * 2),
        (VQCoder(), NODES * 16),
        (FixedCoder(), 4096),
        (SoftmaxCoder("free", sparse=True), 4096),
        (GumbelCoder("free", sparse=True), 4096),
        (SoftmaxCoder(2, sparse=True), 4096),
        (VQCoder(sparse=True), 4096),
    ],
    ids=repr,
)
def test_a_batch_never_makes_tensors_of_all_nodes(coder, bound):
    encoder = make(coder, num_nodes=NODES, codebook_size=32)
    with _Largest() as largest:
        encoding = encoder.encode(torch.randint(NODES, (BATCH,)))
        (encoding.x.sum() + encoding.penalty).backward()
    assert largest.elements <= bound
    assert bound < NODES * 4 * 32


@pytest.mark.parametrize("coder", [SoftmaxCoder(2), VQCoder()], ids=repr)
def test_full_batch_logits_never_exist_whole(coder, monkeypatch):
    monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 1 << 14)
    encoder = make(coder, num_nodes=NODES, codebook_size=64)
    with _Largest() as largest:
        encoding = encoder.encode()
        (encoding.x.sum() + encoding.penalty).backward()
    assert largest.elements <= NODES * 16
    assert encoder.coder.query.grad.any()


def test_reading_codes_is_chunked(monkeypatch):
    encoder = make("gumbel")
    whole, packed = encoder.codes(), encoder.code_table().packed
    monkeypatch.setattr(coded, "_CHUNK_ELEMENTS", 7 * 32)
    assert len(list(encoder._code_chunks())) == 15
    assert torch.equal(encoder.codes(), whole)
    assert torch.equal(encoder.code_table().packed, packed)


# --- statistics -----------------------------------------------------------------------


def test_code_stats_by_hand():
    codes = torch.tensor(
        [[0, 0], [0, 1], [0, 2], [0, 3], [0, 3], [0, 3], [0, 0], [1, 0]]
    )
    encoder = make(
        FixedCoder(codes), num_nodes=8, num_codebooks=2, codebook_size=[2, 8]
    )
    stats = encoder.code_stats()
    assert stats.usage == (1.0, 0.5)
    # Frequencies 7/8, 1/8 and 3/8, 1/8, 1/8, 3/8.
    first = 2 ** (7 / 8 * torch.log2(torch.tensor(8 / 7)) + 3 / 8)
    second = 2 ** (2 * 3 / 8 * torch.log2(torch.tensor(8 / 3)) + 2 * 3 / 8)
    assert stats.perplexity == pytest.approx((float(first), float(second)))
    assert stats.unique_codes == 5
    assert stats.unique_ratio == 5 / 8
    assert stats.dead_codewords == 4
    assert encoder.export().code_stats() == stats


def test_stats_of_one_code_and_of_all():
    same = make(FixedCoder(torch.zeros(100, 4).long()), codebook_size=8)
    stats = same.code_stats()
    assert stats.perplexity == (1.0,) * 4
    assert (stats.unique_codes, stats.dead_codewords) == (1, 28)
    every = make(FixedCoder("compact"), num_nodes=64, num_codebooks=2)
    stats = every.code_stats()
    assert stats.perplexity == pytest.approx((8.0, 8.0))
    assert (stats.unique_ratio, stats.dead_codewords) == (1.0, 0)


# --- code dropout ---------------------------------------------------------------------


@pytest.mark.parametrize("composer", ["sum", "concat", "mlp", "recurrent", "ring"])
@pytest.mark.parametrize("coder", ["softmax", "gumbel", "vq", "fixed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_code_dropout_is_for_training(coder, composer, dtype, scramble):
    encoder = make(coder, composer, code_dropout=0.5).to(dtype)
    scramble(encoder)
    plain = encoder.eval()()
    assert torch.equal(encoder(), plain)
    encoder.train()
    encoding = encoder.encode()
    assert encoding.x.dtype == dtype
    assert not torch.equal(encoding.x, plain)
    scale = encoding.selection.scale
    assert scale.unique().tolist() == [0.0, 2.0]
    (encoding.x.float().sum() + encoding.penalty).backward()


def test_dropout_keeps_the_mean(scramble):
    # What a position loses follows from the node, so that it takes many of them.
    encoder = make("fixed", "sum", num_nodes=20_000, code_dropout=0.3)
    scramble(encoder)
    expected = encoder.eval()().mean(dim=0)
    mean = encoder.train()(torch.arange(20_000)).mean(dim=0)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("bad", [-0.1, 1.0, 2.0])
def test_code_dropout_out_of_range(bad):
    with pytest.raises(ValueError, match="code_dropout"):
        make(code_dropout=bad)


# --- edges ----------------------------------------------------------------------------


@pytest.mark.parametrize("coder", ["softmax", "gumbel", "vq", "fixed", "threshold"])
@pytest.mark.parametrize("composer", ["sum", "concat", "mlp", "recurrent", "ring"])
@pytest.mark.parametrize("num_nodes", [1, 2])
def test_smallest(coder, composer, num_nodes):
    encoder = make(coder, composer, num_nodes, dim=1, num_codebooks=1, codebook_size=2)
    encoding = encoder.encode()
    assert encoding.x.shape == (num_nodes, 1)
    (encoding.x.sum() + encoding.penalty).backward()
    encoder.eval()
    assert torch.equal(encoder.export()(), encoder())
    assert encoder.code_table().nbytes == num_nodes


@pytest.mark.parametrize(
    "coder", [SoftmaxCoder("free"), "vq", "fixed", SoftmaxCoder(1)], ids=repr
)
def test_largest_alphabet(coder):
    encoder = make(coder, num_nodes=5, dim=2, num_codebooks=2, codebook_size=65536)
    with torch.no_grad():
        encoder.composer.weight.normal_()
        if isinstance(coder, SoftmaxCoder) and coder.query_dim == "free":
            encoder.coder.logits[2, 65535] = 100.0
    encoder.eval()
    assert encoder.code_table().nbytes == 5 * 4
    assert torch.equal(encoder.export()(), encoder())
    if isinstance(coder, SoftmaxCoder) and coder.query_dim == "free":
        assert encoder.codes(torch.tensor(2))[0] == 65535
    with pytest.raises(ValueError, match="65536"):
        make(codebook_size=65537)


def test_batch_norms_of_one_node():
    encoder = make(
        SoftmaxCoder("free", normalize="batch"), SumComposer(norm="batch"), 1
    )
    encoder().sum().backward()
    assert torch.isfinite(encoder.coder.logits.grad).all()


# --- constructor ----------------------------------------------------------------------


def test_sizes_as_a_sequence_tell_how_many():
    encoder = KDEmbedding(10, 8, codebook_size=[2, 4, 8, 16])
    assert encoder.num_codebooks == 4
    assert encoder.codebook_sizes == (2, 4, 8, 16)
    assert "num_codebooks=4, codebook_size=[2, 4, 8, 16]" in repr(encoder)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"num_codebooks": None}, ValueError),
        ({"codebook_size": None}, ValueError),
        ({"num_codebooks": 0}, ValueError),
        ({"num_codebooks": 4.0}, TypeError),
        ({"codebook_size": 1}, ValueError),
        ({"codebook_size": [8, 8]}, ValueError),
        ({"codebook_size": "8"}, TypeError),
        ({"num_nodes": 0}, ValueError),
        ({"dim": 0}, ValueError),
        ({"dim": 18}, ValueError),
        ({"coder": 3}, TypeError),
        ({"composer": VQCoder()}, TypeError),
    ],
    ids=str,
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        make(**options)


def test_repr_says_how_to_make_it():
    encoder = make(SoftmaxCoder(2), SumComposer(norm="batch"), code_dropout=0.1)
    assert repr(encoder) == (
        "KDEmbedding(100, 16, num_codebooks=4, codebook_size=8, "
        "composer=SumComposer(norm='batch'), coder=SoftmaxCoder(query_dim=2), "
        "code_dropout=0.1)"
    )
    again = eval(repr(encoder))  # noqa: S307
    assert repr(again) == repr(encoder)
    assert isinstance(encoder.export(), PackedEmbedding)
