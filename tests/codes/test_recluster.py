"""Positions drawn anew from what they compose."""

import sys

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.coders import RefinedCoder
from kdgraph.codes import CodeTable, Prefix, random_codes
from kdgraph.codes.recluster import recluster
from kdgraph.composers import SumComposer
from kdgraph.ops import straight_through

SIZES = (4, 9, 6)
# The package exports the function under the name of its module.
module = sys.modules[recluster.__module__]


def problem(nodes=300, sizes=SIZES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = random_codes(nodes, len(sizes), sizes, generator=generator)
    return table, torch.randn(sum(sizes), 5, generator=generator)


def partial(codes, codewords, positions, sizes=SIZES):
    blocks = codewords.split(list(sizes))
    return sum(blocks[position][codes[:, position]] for position in positions)


@pytest.mark.parametrize("positions", [(1, 2), (2, 1), (0, 1, 2)])
def test_codes_are_the_greedy_ones_under_the_new_codewords(positions):
    table, codewords = problem()
    again, new = recluster(table, codewords, positions)
    rest = partial(table.codes(), codewords, positions)
    for position in positions:
        block = new.split(list(SIZES))[position]
        expected = torch.cdist(rest, block).argmin(dim=1)
        assert torch.equal(again.codes()[:, position], expected)
        rest = rest - block[expected]
    # Two codebooks hold more of two codebooks' sums than one cluster each would.
    before = partial(table.codes(), codewords, positions)
    spread = (before - before.mean(dim=0)).square().sum()
    assert rest.square().sum() < 0.35 * spread


def test_the_first_position_has_the_clusters_of_the_sums():
    table, codewords = problem()
    again, new = recluster(table, codewords, (1, 2))
    sums = partial(table.codes(), codewords, (1, 2))
    codes = again.codes()[:, 1]
    for choice in range(9):
        torch.testing.assert_close(sums[codes == choice].mean(dim=0), new[4 + choice])


def test_vectors_that_fit_are_kept():
    # Two of nine and two of six codes are in use: four sums, which nine clusters hold.
    codes = torch.randint(2, (200, 3))
    table = CodeTable.from_codes(codes, SIZES)
    _, codewords = problem()
    again, new = recluster(table, codewords, (1, 2))
    torch.testing.assert_close(
        partial(again.codes(), new, (0, 1, 2)),
        partial(codes, codewords, (0, 1, 2)),
    )


def test_pairs_that_compose_one_vector_become_one():
    codewords = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    table = CodeTable.from_codes(torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]), 2)
    codes = recluster(table, codewords, (0, 1))[0].codes()
    assert torch.equal(codes[0], codes[1])


def test_other_positions_and_the_inputs_stay():
    table, codewords = problem()
    kept = table.codes(), codewords.clone()
    again, new = recluster(table, codewords, (1, 2))
    assert torch.equal(again.codes()[:, 0], kept[0][:, 0])
    assert torch.equal(new[:4], codewords[:4])
    assert torch.equal(table.codes(), kept[0])
    assert torch.equal(codewords, kept[1])


def test_null_codes_stay_zero_and_are_chosen():
    table, codewords = problem()
    codewords[torch.tensor([0, 4, 13])] = 0.0
    again, new = recluster(table, codewords, (1, 2), null_code=True)
    assert not new[torch.tensor([0, 4, 13])].any()
    assert (again.codes()[:, 1:] == 0).any(dim=0).all()


def test_the_seed_decides(monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_CLUSTER", 4)  # so that there is a sample
    table, codewords = problem()
    first, again, other = (
        recluster(table, codewords, (1, 2), seed=seed)[1] for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_chunks_change_nothing(monkeypatch):
    table, codewords = problem()
    whole, _ = recluster(table, codewords, (1, 2))
    monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 50)
    assert torch.equal(recluster(table, codewords, (1, 2))[0].packed, whole.packed)


@pytest.mark.parametrize("kind", ["levels", "place"])
def test_implied_positions_stay_as_they_are(kind, monkeypatch):
    """The same as with explicit copies of them, at no byte more per node."""
    monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 500)
    table, _ = problem()
    if kind == "levels":
        leaves = torch.randint(6, (300,), generator=torch.Generator().manual_seed(1))
        prefix, _ = Prefix.of_leaves(leaves, (2, 3))
    else:
        prefix = Prefix(torch.tensor([0, 300]), (16, 20), "place")
    table = table.prefixed(prefix)
    codewords = torch.randn(sum(table.codebook_sizes), 5)
    again, new = recluster(table, codewords, (2, 4))
    explicit, wanted = recluster(table.explicit(), codewords, (2, 4))
    assert again.prefix is prefix
    assert again.nbytes == table.nbytes
    assert torch.equal(again.codes(), explicit.codes())
    assert torch.equal(new, wanted)
    assert not torch.equal(again.codes(), table.codes())
    with pytest.raises(ValueError, match=r"positions in \[2, 5\)"):
        recluster(table, codewords, (0, 2))


def test_in_the_midst_of_training():
    sizes = (8, 8)
    table, _ = problem(50, sizes)
    encoder = KDEmbedding(50, 5, coder=RefinedCoder(table), composer=SumComposer())
    composer = encoder.composer
    before = encoder().detach()
    table, codewords = recluster(
        encoder.code_table(), composer.codebooks.weight, (0, 1), null_code=True
    )
    encoder.coder.restore(table.packed)
    with torch.no_grad():
        composer.weight.copy_(codewords)
    error = (encoder() - before).square().sum()
    assert 0 < float(error.detach()) < 0.2 * float(before.square().sum())


@pytest.mark.parametrize("positions", [(), (1,), (1, 1), (0, 3), (-1, 0)])
def test_positions_that_cannot_be(positions):
    table, codewords = problem()
    with pytest.raises(ValueError, match="recluster expects two or more positions"):
        recluster(table, codewords, positions)


def test_codewords_that_do_not_fit():
    table, _ = problem()
    with pytest.raises(ValueError, match=r"recluster expects codewords \[19, d\]"):
        recluster(table, torch.randn(9, 5), (0, 1))
