"""Vector quantisation against brute force."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from kdgraph import KDEmbedding
from kdgraph.coders import VQCoder
from kdgraph.composers import ConcatComposer, MLPComposer, SumComposer
from kdgraph.ops import Csr, Pattern

SIZES = (2, 6, 3, 5)


def make(composer, size=SIZES, num_nodes=40, **options):
    return KDEmbedding(
        num_nodes,
        8,
        num_codebooks=4,
        codebook_size=size,
        coder=VQCoder(**options),
        composer=composer,
    )


def codebook(encoder, position):
    """The codewords of a position ``[K_j, d]``, the null code at zero."""
    composer = encoder.composer
    first = 0 if composer.shared else sum(encoder.codebook_sizes[:position])
    rows = composer.weight[first : first + encoder.codebook_sizes[position]].clone()
    if composer.null_code:
        rows[0] = 0.0
    return rows.detach()


def nearest(vector, codewords):
    return int(((codewords - vector) ** 2).sum(dim=1).argmin())


@pytest.mark.parametrize(
    "composer",
    [
        ConcatComposer,
        lambda: ConcatComposer(shared=True),
        lambda: ConcatComposer(code_dim=3, null_code=False),
        MLPComposer,
    ],
)
@pytest.mark.parametrize("size", [4, SIZES], ids=["uniform", "ragged"])
def test_codes_are_nearest_codewords(composer, size, scramble):
    encoder = make(composer(), size)
    scramble(encoder)
    queries = encoder.coder.query.detach().view(40, 4, -1)
    expected = [
        [nearest(queries[node, j], codebook(encoder, j)) for j in range(4)]
        for node in range(40)
    ]
    assert encoder.codes().tolist() == expected


@pytest.mark.parametrize("shared", [False, True])
def test_sum_quantises_residuals(shared, scramble):
    encoder = make(SumComposer(shared=shared))
    scramble(encoder)
    expected = []
    for query in encoder.coder.query.detach():
        rest, row = query.clone(), []
        for position in range(4):
            codewords = codebook(encoder, position)
            row.append(nearest(rest, codewords))
            rest = rest - codewords[row[-1]]
        expected.append(row)
    assert encoder.codes().tolist() == expected


def test_gradient_is_copied_to_the_query(scramble):
    encoder = make(ConcatComposer())
    scramble(encoder)
    upstream = torch.randn(40, 8)
    (encoder.encode().x * upstream).sum().backward()
    torch.testing.assert_close(encoder.coder.query.grad, upstream)
    assert encoder.composer.weight.grad is None  # only the penalty moves codewords


def test_gradient_of_residuals_is_copied_to_the_query(scramble):
    encoder = make(SumComposer())
    scramble(encoder)
    upstream = torch.randn(40, 8)
    (encoder.encode().x * upstream).sum().backward()
    torch.testing.assert_close(encoder.coder.query.grad, upstream)


@pytest.mark.parametrize(
    "composer", [ConcatComposer, SumComposer, MLPComposer, lambda: SumComposer(3)]
)
def test_plain_training_has_the_gradients_of_the_penalty(composer, scramble):
    encoder = make(composer())
    scramble(encoder)
    weight = torch.randn(40, 8)
    graph = Csr(Pattern.of_edges(*torch.randint(40, (2, 90)), (40, 40)))
    encoding = encoder.encode()
    both = weight * encoding.x + graph.sum(encoding.x)
    expected = gradients(encoder, 3 * both.sum() + encoding.penalty)
    # Whatever the scale of the loss, and however often the vectors are used.
    x = encoder()
    found = gradients(encoder, 3 * (weight * x + graph.sum(x)).sum())
    torch.testing.assert_close(found, expected)
    features = encoder.coded()
    both = weight * features.linear() + features.aggregate(graph)
    torch.testing.assert_close(gradients(encoder, 3 * both.sum()), expected)
    torch.testing.assert_close(features.penalty, encoding.penalty.detach())
    features = encoder.coded()
    both = weight * features.dense() + features.aggregate(graph)
    # Its value is for the loss to show: added, it counts no second time.
    found = gradients(encoder, 3 * both.sum() + features.penalty)
    torch.testing.assert_close(found, expected)


def gradients(encoder, loss):
    return torch.autograd.grad(loss, list(encoder.parameters()))


def test_evaluation_has_no_terms_of_the_loss(scramble):
    encoder = make(ConcatComposer())
    scramble(encoder)
    encoder.eval()().sum().backward()
    encoder.coded().linear().sum().backward()
    assert encoder.composer.weight.grad is None


@pytest.mark.parametrize("composer", [ConcatComposer, SumComposer])
def test_penalty_by_hand(composer, scramble):
    encoder = make(composer(), centroid_weight=2.0, commitment_weight=0.5)
    scramble(encoder)
    ids = torch.tensor([3, 8, 8])
    query = encoder.coder.query[ids]
    x = encoder.eval()(ids).detach()
    encoder.train()
    penalty = encoder.encode(ids).penalty
    distance = (query - x).square().sum(dim=1).mean()
    torch.testing.assert_close(penalty, 2.5 * distance)
    by_query, by_codeword = torch.autograd.grad(
        penalty, (encoder.coder.query, encoder.composer.weight)
    )
    # Commitment alone moves queries.
    expected = torch.zeros(40, 8)
    expected.index_add_(0, ids, (0.5 * 2 / 3) * (query - x).detach())
    torch.testing.assert_close(by_query, expected)
    # The centroid term alone moves codewords.
    for position, code in enumerate(encoder.codes(ids[:1])[0].tolist()):
        if code == 0:
            continue
        first = sum(SIZES[:position])
        assert by_codeword[first + code].any()
    assert not by_codeword[[0, 2, 8, 11]].any()  # null codes


def test_no_rows_cost_nothing():
    encoder = make(ConcatComposer())
    assert float(encoder.encode(torch.empty(0, dtype=torch.long)).penalty) == 0.0


def dead(encoder):
    """Codewords no node uses, the null codes aside."""
    sizes, codes = encoder.codebook_sizes, encoder.codes()
    shared = encoder.composer.shared
    used = {
        (0 if shared else position, code)
        for position, column in enumerate(codes.t().tolist())
        for code in column
    }
    every = {
        (0 if shared else position, code)
        for position, size in enumerate(sizes)
        for code in range(1 if encoder.composer.null_code else 0, size)
    }
    return every - used


@pytest.mark.parametrize("null_code", [True, False])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("composer", [ConcatComposer, SumComposer])
@pytest.mark.parametrize("size", [16, (2, 32, 8, 5)], ids=["uniform", "ragged"])
def test_restart_leaves_no_dead_codeword(composer, size, shared, null_code):
    encoder = make(composer(shared=shared, null_code=null_code), size, num_nodes=200)
    with torch.no_grad():
        encoder.coder.query.normal_()
        encoder.composer.weight.fill_(50.0)  # far from every query
    before = len(dead(encoder))
    null = encoder.composer.codebooks.weight[encoder.composer.offsets].clone()
    moved = encoder.coder.restart_dead_codes(encoder.composer)
    assert moved > 0
    if not shared or composer is ConcatComposer:
        assert moved == before
    for _ in range(10):  # a codeword that lost its nodes to a new one has its turn
        encoder.coder.restart_dead_codes(encoder.composer)
    assert not dead(encoder)
    if null_code:
        after = encoder.composer.codebooks.weight[encoder.composer.offsets]
        assert torch.equal(after, null)
        assert not after.any()


def test_restart_puts_each_codeword_on_a_node_of_its_own():
    encoder = make(ConcatComposer(null_code=False), 8, num_nodes=8)
    with torch.no_grad():
        encoder.coder.query.normal_()
        encoder.composer.weight.fill_(50.0)
    # One codeword keeps one node, so seven of eight move at each position. That node
    # finds one of them nearer, and frees the eighth, which ends up on one of these two.
    assert encoder.coder.restart_dead_codes(encoder.composer) == 4 * 7
    assert encoder.coder.restart_dead_codes(encoder.composer) == 4
    for _ in range(20):
        encoder.coder.restart_dead_codes(encoder.composer)
    for position in range(4):
        assert len(encoder.codes()[:, position].unique()) == 8


def test_restart_with_fewer_nodes_than_codewords():
    encoder = make(ConcatComposer(), 16, num_nodes=3)
    encoder.coder.restart_dead_codes(encoder.composer)
    assert torch.isfinite(encoder()).all()
    alone = make(ConcatComposer(), 16, num_nodes=1)
    assert alone.coder.restart_dead_codes(alone.composer) == 0


def test_nothing_dead_nothing_moved():
    encoder = make(ConcatComposer(null_code=False), 2, num_nodes=50)
    with torch.no_grad():
        encoder.coder.query.normal_()
        encoder.composer.weight.view(4, 2, 2)[:, 0] = 0.5
        encoder.composer.weight.view(4, 2, 2)[:, 1] = -0.5
    before = encoder.composer.weight.clone()
    assert encoder.coder.restart_dead_codes(encoder.composer) == 0
    assert torch.equal(encoder.composer.weight, before)


def test_restart_is_due_every_so_many_epochs(monkeypatch):
    encoder = make(ConcatComposer(), restart_every=3)
    due = []
    monkeypatch.setattr(encoder.coder, "restart_dead_codes", due.append)
    for epoch in range(7):
        encoder.coder.after_epoch(epoch, encoder.composer)
    assert len(due) == 2
    never = make(ConcatComposer(), restart_every=0)
    monkeypatch.setattr(never.coder, "restart_dead_codes", due.append)
    never.coder.after_epoch(0, never.composer)
    assert len(due) == 2


def test_plain_training_restarts_codewords(monkeypatch):
    encoder, due = make(ConcatComposer(), restart_every=3), []
    monkeypatch.setattr(encoder.coder, "restart_dead_codes", due.append)
    for _ in range(7):
        encoder()
    assert len(due) == 2
    encoder.after_epoch(0)  # from now on, somebody else counts
    for _ in range(7):
        encoder.coded()
    assert len(due) == 2
    encoder.eval()()
    assert len(due) == 2


def test_a_checkpoint_counts_a_step_once():
    coder = VQCoder(restart_every=1)
    encoder = KDEmbedding(10, 4, num_codebooks=2, codebook_size=4, coder=coder)
    for step in range(3):
        x = checkpoint(encoder, torch.arange(10), use_reentrant=False)
        x.sum().backward()
        assert coder.epochs.epoch == step


def test_a_penalty_that_the_loss_leaves_out_is_named():
    encoder = make(ConcatComposer())
    for penalty in (1.0, 1.0, 0.0):
        encoding = encoder.encode()
        loss = encoding.x.sum()
        (loss + encoding.penalty if penalty else loss).backward()
    with pytest.warns(UserWarning, match=r"KDEmbedding has terms .* encoding\.penalty"):
        encoder.encode()


@pytest.mark.parametrize(
    "options",
    [{"centroid_weight": -1}, {"commitment_weight": -1}, {"restart_every": -1}],
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match="VQCoder"):
        VQCoder(**options)
