"""Codes that go on learning from the gradients that pass by."""

import copy
import io

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdgraph import KDEmbedding
from kdgraph.coders import RefinedCoder
from kdgraph.codes import CodeTable, Prefix, random_codes
from kdgraph.codes.refine import refine_codes, trust_region_target
from kdgraph.composers import (
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    SumComposer,
)
from kdgraph.ops import straight_through

NODES, DIM, SIZES = 60, 8, (5, 16, 3, 7)
LINEAR = {
    "sum": SumComposer,
    "sum-project": lambda: SumComposer(code_dim=3),
    "sum-shared": lambda: SumComposer(shared=True),
    "sum-batch": lambda: SumComposer(norm="batch"),
    "sum-no-null": lambda: SumComposer(null_code=False),
    "concat": ConcatComposer,
    "concat-project": lambda: ConcatComposer(code_dim=3),
    "concat-batch": lambda: ConcatComposer(norm="batch"),
    "sum-int8": lambda: SumComposer(storage="int8"),
}
DUE = {"share": 1.0, "start": 0, "every": 1, "stop": 1000}


def make(composer="sum", *, nodes=NODES, sizes=SIZES, seed=0, codes=None, **options):
    torch.manual_seed(seed)
    if codes is None:
        codes = random_codes(nodes, len(sizes), sizes)
    if isinstance(composer, str):
        composer = LINEAR[composer]()
    encoder = KDEmbedding(
        nodes, DIM, coder=RefinedCoder(codes, **DUE | options), composer=composer
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    return encoder.train()


def target_of(nodes=NODES):
    return torch.randn(nodes, DIM, generator=torch.Generator().manual_seed(7))


def loss_of(encoder, n_id=None):
    target = target_of(encoder.num_nodes)
    return (encoder(n_id) - (target if n_id is None else target[n_id])).square().sum()


# --- what is chosen -------------------------------------------------------------------


@pytest.mark.parametrize("composer", LINEAR)
def test_codes_approach_the_trust_region_target(composer):
    encoder = make(composer)
    encoder.composer.eval()  # running statistics, which the basis folds in
    before = encoder.codes()
    x = encoder()
    gradient = 2 * (x - target_of()).detach()
    basis = encoder.composer.basis().detach()
    floor = basis.square().mean().sqrt()
    wanted = trust_region_target(x.detach(), gradient, 1.0, floor=floor)
    expected = refine_codes(before, basis, wanted, SIZES)
    (x - target_of()).square().sum().backward()
    assert torch.equal(encoder.codes(), expected)
    changed = (expected != before).double().mean()
    assert encoder.coder.last_change == pytest.approx(float(changed))
    assert 0.1 < changed < 0.9


@pytest.mark.parametrize("composer", ["sum", "concat", "sum-batch", "sum-project"])
def test_a_training_step_has_the_same_gradients(composer):
    encoder = make(composer)
    fixed = copy.deepcopy(encoder)
    fixed.coder.halt()
    for module in (encoder, fixed):
        loss = loss_of(module) + loss_of(module, torch.tensor([3, 3, 9]))
        loss.backward()
    assert not torch.equal(encoder.codes(), fixed.codes())
    for (name, mine), other in zip(
        encoder.named_parameters(), fixed.parameters(), strict=True
    ):
        assert torch.equal(mine.grad, other.grad), name


def test_the_gradient_is_that_of_finite_differences():
    encoder = make("concat").double()
    encoder.expect_epochs()
    weight = encoder.composer.weight
    start = encoder.coder.packed.clone()

    def loss_at(values):
        encoder.coder.restore(start)
        x = torch.func.functional_call(encoder, {"composer.weight": values})
        return (x - target_of()).square().sum()

    assert torch.autograd.gradcheck(loss_at, weight.detach().requires_grad_())
    assert encoder.coder.last_change > 0


@pytest.mark.parametrize("composer", ["sum", "concat-project"])
@pytest.mark.parametrize("small_chunks", [False, True])
def test_batches_choose_what_all_nodes_at_once_do(composer, small_chunks, monkeypatch):
    if small_chunks:
        monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 30)
    whole, batched = make(composer), make(composer)
    loss_of(whole).backward()
    order = torch.randperm(NODES)
    for n_id in order.split(7):
        loss_of(batched, n_id).backward()
    assert torch.equal(whole.codes(), batched.codes())
    assert whole.coder.last_change == batched.coder.last_change


def test_a_batch_changes_its_own_nodes_only():
    encoder = make()
    before = encoder.codes()
    n_id = torch.tensor([[4, 17], [40, 4]])
    (encoder(n_id) - 3.0).square().sum().backward()
    moved = (encoder.codes() != before).any(dim=1).nonzero().flatten().tolist()
    assert moved
    assert set(moved) <= {4, 17, 40}


def test_a_node_that_occurs_twice_follows_the_sum_of_its_gradients():
    once, twice = make(), make()
    pulls = torch.randn(3, DIM)
    (twice(torch.tensor([5, 9, 5])) * pulls).sum().backward()
    summed = torch.stack((pulls[0] + pulls[2], pulls[1]))
    (once(torch.tensor([5, 9])) * summed).sum().backward()
    assert torch.equal(once.codes(), twice.codes())


def test_a_node_without_gradient_stays():
    encoder = make()
    before = encoder.codes()
    (encoder()[:10] - 3.0).square().sum().backward()
    assert torch.equal(encoder.codes()[10:], before[10:])
    assert not torch.equal(encoder.codes()[:10], before[:10])
    (encoder() * float("nan")).sum().backward()
    assert encoder.codes().max() < 16  # a gradient that is not finite moves nothing


def test_a_null_node_is_not_trapped():
    encoder = make(codes=CodeTable.from_codes(torch.zeros(9, 4).long(), SIZES), nodes=9)
    assert not encoder().any()
    (encoder() - 3.0).square().sum().backward()
    assert encoder.codes().any(dim=1).all()


@pytest.mark.parametrize("positions", [[1], (3, 0), [2, 2]])
def test_other_positions_are_untouched(positions):
    encoder = make(positions=positions)
    before = encoder.codes()
    loss_of(encoder).backward()
    moved = (encoder.codes() != before).any(dim=0).nonzero().flatten().tolist()
    assert moved == sorted(set(positions))


def test_a_share_of_the_codes_has_its_turn():
    sizes = (256,)  # with more, one that moves leaves the next another residual
    some = make(nodes=2000, sizes=sizes, share=0.25)
    loss_of(some).backward()
    every = make(nodes=2000, sizes=sizes)
    loss_of(every).backward()
    ratio = some.coder.last_change / every.coder.last_change
    assert ratio == pytest.approx(0.25, abs=0.03)


# --- whether it helps -----------------------------------------------------------------


@pytest.mark.parametrize("composer", ["sum", "concat", "sum-project"])
def test_codes_alone_lower_a_loss(composer):
    encoder = make(composer, step=0.5)  # and codebooks that stay
    before = float(loss_of(encoder).detach())
    for _ in range(6):
        loss_of(encoder).backward()
    after = float(loss_of(encoder).detach())
    assert after < 0.7 * before


def test_codes_and_codebooks_beat_codebooks():
    losses = {}
    for refined in (True, False):
        encoder = make("sum", every=5, stop=60)
        if not refined:
            encoder.coder.halt()
        optimizer = torch.optim.Adam(encoder.parameters(), lr=0.03)
        for epoch in range(120):
            optimizer.zero_grad()
            loss = loss_of(encoder)
            loss.backward()
            optimizer.step()
            encoder.coder.after_epoch(epoch, encoder.composer)
        losses[refined] = float(loss.detach())
    assert losses[True] < 0.8 * losses[False]


# --- when -----------------------------------------------------------------------------


def test_it_is_due_on_schedule():
    encoder = make(start=2, every=3, stop=9)
    due = []
    for epoch in range(12):
        before = encoder.codes()
        loss_of(encoder).backward()
        if not torch.equal(encoder.codes(), before):
            due.append(epoch)
        encoder.coder.after_epoch(epoch, encoder.composer)
    assert due == [2, 5, 8]


def changes(encoder, batches):
    """After which steps of plain training codes had changed."""
    found = []
    for number, n_id in enumerate(batches):
        before = encoder.codes()
        loss_of(encoder, n_id).backward()
        if not torch.equal(encoder.codes(), before):
            found.append(number)
    return found


def test_epochs_are_counted_where_nobody_does():
    options = {"start": 2, "every": 3, "stop": 9}
    assert changes(make(**options), [None] * 12) == [2, 5, 8]
    # Two thirds of the nodes a step; what is over belongs to the next epoch.
    part = torch.arange(40)
    assert changes(make(**options), [part] * 9) == [3, 4, 8]
    # Once somebody counts, nobody else does.
    encoder = make(**options)
    encoder.coder.after_epoch(0, encoder.composer)
    assert changes(encoder, [None] * 6) == []
    encoder = make(**options)
    encoder.expect_epochs()
    assert changes(encoder, [None] * 6) == []


def test_nothing_happens_without_a_backward_pass_of_training():
    encoder = make()
    before = encoder.codes()
    encoder()
    with torch.no_grad():
        encoder()
    encoder.codes()
    encoder.eval()
    loss_of(encoder).backward()
    assert torch.equal(encoder.codes(), before)


def test_a_second_backward_pass_takes_no_second_step():
    encoder = make()
    loss = loss_of(encoder)
    loss.backward(retain_graph=True)
    once = encoder.codes()
    loss.backward()
    assert torch.equal(encoder.codes(), once)


def test_halt_and_restore():
    encoder = make()
    kept, before = encoder.coder.packed.clone(), encoder.codes()
    loss_of(encoder).backward()
    assert not torch.equal(encoder.codes(), before)
    encoder.coder.restore(kept)
    assert torch.equal(encoder.codes(), before)
    encoder.coder.halt()
    encoder.coder.after_epoch(0, encoder.composer)
    loss_of(encoder).backward()
    assert torch.equal(encoder.codes(), before)
    encoder.reset_parameters()  # a new start in every sense
    loss_of(encoder).backward()
    assert not torch.equal(encoder.codes(), before)


def train(encoder, optimizer, epochs):
    for epoch in epochs:
        optimizer.zero_grad()
        loss_of(encoder).backward()
        optimizer.step()
        encoder.coder.after_epoch(epoch, encoder.composer)


@pytest.mark.parametrize("stopped_at", [1, 3, 4])
@pytest.mark.parametrize("halted", [False, True])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(stopped_at, halted):
    def fresh():
        encoder = make(share=0.5, start=1, every=2, stop=7)
        return encoder, torch.optim.Adam(encoder.parameters(), lr=0.05)

    encoder, optimizer = fresh()
    train(encoder, optimizer, range(stopped_at))
    if halted:
        encoder.coder.halt()
    file = io.BytesIO()
    torch.save(
        (encoder.state_dict(), optimizer.state_dict(), torch.get_rng_state()), file
    )
    change = encoder.coder.last_change
    train(encoder, optimizer, range(stopped_at, 9))

    again, optimizer = fresh()
    file.seek(0)
    state, moments, rng = torch.load(file, weights_only=True)
    again.load_state_dict(state)
    optimizer.load_state_dict(moments)
    torch.set_rng_state(rng)
    assert again.coder.last_change == change
    train(again, optimizer, range(stopped_at, 9))
    assert torch.equal(again.codes(), encoder.codes())
    assert torch.equal(again(), encoder())
    assert again.coder.last_change == encoder.coder.last_change


def test_the_draw_follows_the_global_seed():
    codes = []
    for seed in (1, 1, 2):
        encoder = make(share=0.5)
        torch.manual_seed(seed)
        loss_of(encoder).backward()
        codes.append(encoder.codes())
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_a_compiled_encoder_refines_too():
    eager, encoder = make(), make()
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="aot_eager")
    for module in (eager, compiled):
        (module() - target_of()).square().sum().backward()
    assert torch.equal(encoder.codes(), eager.codes())
    assert encoder.coder.last_change > 0
    torch.compiler.reset()


# --- bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [(), (16, 256, 4096)])
def test_training_holds_packed_codes_and_codebooks(levels):
    sizes = (*levels, *[256] * 8)
    per_node = sum((size - 1).bit_length() for size in sizes)
    per_node = (per_node + 7) // 8
    assert per_node <= 20

    def held(nodes):
        encoder = make(nodes=nodes, sizes=sizes)
        loss_of(encoder).backward()
        return encoder, encoder.training_bytes("adam")

    encoder, total = held(5000)
    codebooks = sum(sizes) * DIM * 16
    assert total == 5000 * per_node + codebooks + 8 * len(sizes)  # and the offsets
    assert held(4000)[1] == total - 1000 * per_node
    large = [*encoder.parameters(), *encoder.coder.buffers()]
    assert [t.dtype for t in large if t.size(0) == 5000] == [torch.uint8]
    kept = [v for v in vars(encoder.coder).values() if isinstance(v, torch.Tensor)]
    assert not kept


class _Largest(TorchDispatchMode):
    """The most elements any operation gives back."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return out


def test_beside_the_gradient_only_chunks_exist(monkeypatch):
    monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 2000)
    encoder = make(nodes=5000)
    gradient = torch.randn(5000, DIM)
    with _Largest() as watch:
        encoder.coder.reassign(None, gradient, encoder.composer)
    # Two bytes of codes and an id for each node; of floats, a chunk.
    assert watch.elements == 5000 * 2


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "composer",
    [
        MLPComposer,
        RecurrentComposer,
        lambda: SumComposer(norm="layer"),
        lambda: ConcatComposer(norm="layer"),
    ],
)
def test_a_composer_that_is_not_linear(composer):
    with pytest.raises(ValueError, match="RefinedCoder needs .* use SumComposer"):
        make(composer())


def test_what_a_prefix_tells_stays():
    digits = random_codes(NODES, 2, (6, 9))
    prefix, _ = Prefix.of_leaves(torch.arange(NODES) // 8, (2, 4))
    table = digits.prefixed(prefix)
    for positions in (None, [3]):
        encoder = make(codes=table, sizes=table.codebook_sizes, positions=positions)
        other = make(
            codes=table.explicit(),
            sizes=table.codebook_sizes,
            positions=positions or [2, 3],
        )
        for module in (encoder, other):
            loss_of(module).backward()
            loss_of(module, torch.tensor([59, 3, 3])).backward()
        assert torch.equal(encoder.codes()[:, :2], table.codes()[:, :2])
        assert not torch.equal(encoder.codes()[:, 3], table.codes()[:, 3])
        assert torch.equal(encoder.codes(), other.codes())
        assert encoder.coder.last_change == pytest.approx(2 * other.coder.last_change)
    with pytest.raises(ValueError, match=r"positions in \[2, 4\), those .* stored"):
        make(codes=table, positions=[1, 2])
    with pytest.raises(ValueError, match="of which no position is stored"):
        make(codes=CodeTable.from_prefix(prefix))


@pytest.mark.parametrize("positions", [[4], [-1], [0, 9]])
def test_positions_that_do_not_exist(positions):
    with pytest.raises(ValueError, match=r"RefinedCoder expects positions in \[0, 4\)"):
        make(positions=positions)


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0.0},
        {"step": float("nan")},
        {"share": 0.0},
        {"share": 1.5},
        {"every": 0},
        {"start": -1},
        {"start": 9, "stop": 8},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match="RefinedCoder expects"):
        RefinedCoder(**options)


def test_codes_that_are_not_these_cannot_be_restored():
    encoder = make()
    for packed in (torch.zeros(NODES, 9, dtype=torch.uint8), torch.zeros(NODES, 2)):
        with pytest.raises(ValueError, match="expects packed codes"):
            encoder.coder.restore(packed)
