"""Neighbours at random: laws, distributions, and the core against numpy."""

import random

import numpy as np
import pytest
import torch
from scipy import stats

from kdgraph.ops import native, sample_neighbors

NATIVE = not native.unavailable("cpu")


def make_graph(nodes=40, seed=0, hub=300, index=torch.int64):
    generator = torch.Generator().manual_seed(seed)
    degree = torch.randint(0, 9, (nodes,), generator=generator)
    degree[3], degree[7] = hub, 0
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)])
    col = torch.randint(nodes, (int(rowptr[-1]),), generator=generator)
    return rowptr.to(index), col.to(index)


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanouts", [[1], [3, 2], [-1, 4], [40, 2, 2], [2, -1]])
class TestLaws:
    def drawn(self, fanouts, replace, seeds=(5, 3, 11, 7)):
        rowptr, col = make_graph()
        seeds = torch.tensor(seeds)
        drawn = sample_neighbors(rowptr, col, seeds, fanouts, replace=replace, seed=4)
        return rowptr, col, drawn

    def test_edges_are_those_of_the_graph(self, fanouts, replace):
        rowptr, col, drawn = self.drawn(fanouts, replace)
        assert torch.equal(drawn.node[drawn.row], col[drawn.edge])
        target = drawn.node[drawn.col]
        assert bool((rowptr[target] <= drawn.edge).all())
        assert bool((drawn.edge < rowptr[target + 1]).all())

    def test_nodes_stand_once_seeds_first(self, fanouts, replace):
        _, _, drawn = self.drawn(fanouts, replace)
        assert drawn.node[:4].tolist() == [5, 3, 11, 7]
        assert drawn.node.unique().numel() == drawn.node.numel()
        assert drawn.num_nodes[0] == 4
        assert sum(drawn.num_nodes) == drawn.node.numel()
        assert sum(drawn.num_edges) == drawn.edge.numel()

    def test_each_node_gets_its_number_in_the_hop_after_its_own(self, fanouts, replace):
        rowptr, _, drawn = self.drawn(fanouts, replace)
        degree = rowptr.diff()
        begin = done = 0
        hops = zip(fanouts, drawn.num_nodes, drawn.num_edges, strict=False)
        for fanout, nodes, edges in hops:
            frontier = drawn.node[begin : begin + nodes]
            want = degree[frontier]
            if fanout > 0 and replace:
                want = torch.where(want > 0, fanout, 0)
            elif fanout > 0:
                want = want.clamp(max=fanout)
            places = torch.arange(begin, begin + nodes)
            found = drawn.col[done : done + edges]
            assert torch.equal(found, places.repeat_interleave(want))
            begin, done = begin + nodes, done + edges

    def test_no_edge_twice_without_replacement(self, fanouts, replace):
        _, _, drawn = self.drawn(fanouts, replace)
        if not replace:
            assert drawn.edge.unique().numel() == drawn.edge.numel()

    def test_new_nodes_come_in_the_order_they_were_drawn_in(self, fanouts, replace):
        _, _, drawn = self.drawn(fanouts, replace)
        first = {}
        for place in drawn.row.tolist():
            first.setdefault(place, len(first))
        new = [place for place in first if place >= 4]
        assert new == sorted(new)


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("degree", [6, 300])
def test_every_neighbour_is_as_likely(degree, replace):
    rowptr = torch.arange(0, 2001 * degree, degree)
    col = torch.arange(degree).repeat(2000)
    seeds = torch.arange(2000)
    fanout = 4 if degree == 6 else 40
    drawn = sample_neighbors(rowptr, col, seeds, [fanout], replace=replace, seed=1)
    counts = torch.bincount(drawn.node[drawn.row], minlength=degree).numpy()
    assert counts.sum() == 2000 * fanout
    # Without replacement counts vary less than independent draws would.
    shrink = 1.0 if replace else (degree - fanout) / (degree - 1)
    expected = 2000 * fanout / degree
    statistic = ((counts - expected) ** 2 / expected).sum() / shrink
    assert 1e-4 < stats.chi2.sf(statistic, degree - 1) < 1 - 1e-4


@pytest.mark.usefixtures("backend_name")
def test_every_pair_is_as_likely():
    rowptr = torch.arange(0, 4 * 20_001, 4)
    col = torch.arange(4).repeat(20_000)
    drawn = sample_neighbors(rowptr, col, torch.arange(20_000), [2], seed=9)
    pairs = drawn.node[drawn.row].view(-1, 2).sort(dim=1).values
    _, counts = np.unique(pairs.numpy(), axis=0, return_counts=True)
    assert len(counts) == 6
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4


@pytest.mark.usefixtures("backend_name")
def test_draws_of_nodes_and_seeds_are_independent():
    rowptr = torch.arange(0, 2 * 20_001, 2)
    col = torch.arange(2).repeat(20_000)
    seeds = torch.arange(20_000)
    one, other = (
        sample_neighbors(rowptr, col, seeds, [1], seed=seed).edge % 2 for seed in (0, 1)
    )
    for left, right in ((one, other), (one[1:], one[:-1]), (one[2:], one[:-2])):
        agree = (left == right).double().mean().item()
        assert agree == pytest.approx(0.5, abs=5 * 0.5 / 20_000**0.5)


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("replace", [False, True])
def test_a_node_draws_the_same_whatever_else_is_drawn(replace):
    rowptr, col = make_graph(400)

    def sources(seeds):
        drawn = sample_neighbors(rowptr, col, seeds, [3], replace=replace, seed=5)
        by_place = zip(drawn.col.tolist(), drawn.edge.tolist(), strict=True)
        found = {node: [] for node in seeds.tolist()}
        for place, edge in by_place:
            found[int(drawn.node[place])].append(edge)
        return found

    together = sources(torch.randperm(400))
    for part in torch.randperm(400).split(150):
        alone = sources(part)
        assert alone == {node: together[node] for node in part.tolist()}


@pytest.mark.skipif(not NATIVE, reason="the compiled core was not built")
@pytest.mark.parametrize("seed", range(20))
def test_the_core_draws_what_numpy_does(seed, monkeypatch):
    rng = random.Random(seed)
    index = rng.choice([torch.int32, torch.int64])
    rowptr, col = make_graph(rng.choice([8, 40, 3000]), seed, 500, index)
    seeds = torch.randint(rowptr.numel() - 1, (rng.choice([1, 5, 700]),))
    hops = rng.choice([1, 2, 3])
    fanouts = [rng.choice([1, 2, 5, 33, 100, -1]) for _ in range(hops)]
    replace = rng.random() < 0.5
    found = []
    for name in ("reference", "native"):
        monkeypatch.setenv("KDGRAPH_BACKEND", name)
        given = rowptr, col, seeds, fanouts
        found.append(sample_neighbors(*given, replace=replace, seed=seed - 3))
    for one, other in zip(found[0][:4], found[1][:4], strict=True):
        assert torch.equal(one, other)
    assert found[0][4:] == found[1][4:]


def test_threads_change_nothing(backend_name):
    rowptr, col = make_graph(5000)
    seeds, before, found = torch.arange(4000), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(sample_neighbors(rowptr, col, seeds, [3, 2], seed=2))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0][:4], other[:4], strict=True):
            assert torch.equal(one, same)


@pytest.mark.usefixtures("backend_name")
class TestEdgeCases:
    def test_a_seed_that_stands_twice_stays_twice(self):
        rowptr, col = torch.tensor([0, 1, 2]), torch.tensor([1, 0])
        drawn = sample_neighbors(rowptr, col, torch.tensor([1, 1]), [-1, -1])
        assert drawn.node.tolist() == [1, 1, 0]
        assert drawn.row.tolist() == [2, 2, 0]
        assert drawn.col.tolist() == [0, 1, 2]

    def test_nobody_and_nothing(self):
        rowptr, col = torch.tensor([0, 0, 0]), torch.zeros(0, dtype=torch.int64)
        drawn = sample_neighbors(rowptr, col, torch.tensor([1]), [2, 2])
        assert drawn.node.tolist() == [1]
        assert drawn.num_nodes == [1, 0, 0]
        assert drawn.num_edges == [0, 0]
        none = sample_neighbors(rowptr, col, col, [2])
        assert none.node.numel() == none.edge.numel() == 0

    def test_self_loops_and_edges_that_stand_twice(self):
        rowptr, col = torch.tensor([0, 3, 3]), torch.tensor([0, 1, 1])
        drawn = sample_neighbors(rowptr, col, torch.tensor([0]), [-1])
        assert drawn.node.tolist() == [0, 1]
        assert drawn.row.tolist() == [0, 1, 1]
        assert drawn.edge.tolist() == [0, 1, 2]


@pytest.mark.usefixtures("backend_name")
class TestBadInput:
    @pytest.mark.parametrize(
        ("fanouts", "error", "match"),
        [
            ([], ValueError, "at least one hop"),
            ([2, 0], ValueError, r"got 0 in \[2, 0\]"),
            ([-2], ValueError, "or -1 for all, got -2"),
            ([1.5], TypeError, "whole numbers of neighbours, got 1.5"),
            ([True], TypeError, "got True"),
            ("15,10", TypeError, "a number for each hop, got str"),
            (3, TypeError, "got int"),
        ],
    )
    def test_num_neighbors(self, fanouts, error, match):
        with pytest.raises(error, match=match):
            sample_neighbors(*make_graph(), torch.tensor([0]), fanouts)

    def test_seeds(self):
        for wrong in (-1, 40):
            with pytest.raises(IndexError, match=rf"seeds in \[0, 40\), got {wrong}"):
                sample_neighbors(*make_graph(), torch.tensor([0, wrong]), [2])
        with pytest.raises(TypeError, match="seeds as int32 or int64"):
            sample_neighbors(*make_graph(), torch.tensor([0.5]), [2])

    def test_no_rowptr(self):
        none = torch.zeros(0, dtype=torch.int64)
        with pytest.raises(ValueError, match="an empty one"):
            sample_neighbors(none, none, none, [2])

    def test_a_graph_that_is_none(self, backend_name):
        seeds = torch.tensor([0])
        with pytest.raises(IndexError):
            sample_neighbors(torch.tensor([0, 1]), torch.tensor([9]), seeds, [2, 1])
        if backend_name == "native":
            with pytest.raises(ValueError, match="rowptr to rise"):
                sample_neighbors(torch.tensor([0, 9]), torch.tensor([0]), seeds, [2])
