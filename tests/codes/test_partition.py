"""Hierarchical partitions: laws of the codes, quality of the cuts, odd graphs."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes.hierarchy import Partition
from kdgraph.codes.metis_process import MetisProcess
from kdgraph.codes.partition import partition_codes, partition_graph
from kdgraph.data import sbm

GRAPH = sbm(num_nodes=3000, mean_degree=8, seed=0).adj


def cut(adj, leaves):
    row, col = adj.nonzero()
    return float((leaves[row] != leaves[col]).mean())


def edges(pairs, num_nodes, weights=None):
    row, col = np.array(pairs).T
    weights = np.ones(len(row)) if weights is None else weights
    return sparse.coo_array((weights, (row, col)), shape=(num_nodes,) * 2).tocsr()


@pytest.mark.parametrize("branching", [(16, 16), (11, 11, 11), (3,) * 5, (2, 7, 5)])
def test_levels_digits_and_order_say_the_same(branching):
    found = partition_graph(GRAPH, branching, seed=3)
    levels, digits = found.levels(), found.digits()
    assert levels.codebook_sizes == tuple(np.cumprod(branching))
    assert digits.codebook_sizes == branching
    level, digit = levels.codes().numpy(), digits.codes().numpy()
    path = np.zeros(3000, dtype=np.int64)
    for position, size in enumerate(branching):
        path = path * size + digit[:, position]
        assert np.array_equal(path, level[:, position])
    assert np.array_equal(path, found.leaves())
    assert np.array_equal(np.sort(found.order), np.arange(3000))
    sizes = np.bincount(path, minlength=math.prod(branching))
    assert np.array_equal(np.diff(found.boundaries), sizes)
    # The row alone tells the leaf, and ids rise within it.
    rows = np.arange(3000)
    leaf = np.searchsorted(found.boundaries, rows, side="right") - 1
    assert np.array_equal(leaf, path[found.order])
    assert (np.diff(found.order)[np.diff(leaf) == 0] > 0).all()
    for kind, table in (("levels", levels), ("digits", digits)):
        codes = partition_codes(GRAPH, branching, kind=kind, seed=3)
        assert torch.equal(codes.packed, table.packed)
        told = found.prefix(kind)(torch.from_numpy(rows))
        assert torch.equal(told, table.codes(torch.from_numpy(found.order)))


@pytest.mark.parametrize("branching", [(16, 16), (6, 6, 6), (11, 11)])
def test_clusters_are_balanced_and_few_edges_leave_them(branching):
    found = partition_graph(GRAPH, branching)
    sizes = np.diff(found.boundaries)
    assert sizes.min() > 0
    assert sizes.max() < 1.5 * sizes.mean()
    leaves = found.leaves()
    shuffled = np.random.default_rng(0).permutation(leaves)
    assert cut(GRAPH, leaves) < 0.75 * cut(GRAPH, shuffled)


def test_blocks_are_found():
    blocks = np.repeat(np.arange(8), 30)
    rng = np.random.default_rng(0)
    same = blocks[:, None] == blocks
    dense = rng.random((240, 240)) < np.where(same, 0.4, 0.005)
    perm = rng.permutation(240)
    adj = sparse.csr_array(np.triu(dense, 1)[perm][:, perm])
    found = partition_graph(adj, (2, 4)).leaves()
    matches = {(a, b) for a, b in zip(blocks[perm], found, strict=True)}
    assert len(matches) == 8  # one leaf per block


def test_weights_decide_where_the_cut_goes():
    ring = [(i, (i + 1) % 8) for i in range(8)]
    weights = np.ones(8)
    weights[[1, 5]] = 0.1  # between 1 and 2, between 5 and 6
    leaves = partition_graph(edges(ring, 8, weights), (2,)).leaves()
    assert leaves[[2, 3, 4, 5]].tolist() == [leaves[2]] * 4
    assert leaves[[6, 7, 0, 1]].tolist() == [1 - leaves[2]] * 4


def test_equal_weights_are_no_weights():
    scaled = sparse.csr_array(GRAPH * np.float32(0.3))
    assert np.array_equal(
        partition_graph(scaled, (8,)).order, partition_graph(GRAPH, (8,)).order
    )


def test_relabelled_nodes_are_cut_as_well():
    perm = np.random.default_rng(1).permutation(3000)
    moved = GRAPH[perm][:, perm]
    here = cut(GRAPH, partition_graph(GRAPH, (16, 4)).leaves())
    there = cut(moved, partition_graph(moved, (16, 4)).leaves())
    assert there == pytest.approx(here, rel=0.05)


def test_seed():
    made = [
        partition_graph(GRAPH, (11, 11), seed=seed).leaves() for seed in (0, 0, 1, 2)
    ]
    assert np.array_equal(made[0], made[1])
    row, col = np.random.default_rng(0).integers(3000, size=(2, 200_000))
    together = [leaves[row] == leaves[col] for leaves in made]
    for first, second in itertools.combinations(together[1:], 2):
        # Jaccard index of the pairs that share a leaf.
        assert (first & second).sum() < 0.7 * (first | second).sum()


def test_parts_of_the_graph_and_isolated_nodes_spread_evenly():
    pieces = [GRAPH[:500][:, :500], sparse.csr_array((300, 300))]
    pairs = sparse.block_diag([np.array([[0, 1], [1, 0]])] * 100)
    adj = sparse.csr_array(sparse.block_diag([*pieces, pairs], format="csr"))
    found = partition_graph(adj, (8, 4))
    sizes = np.diff(found.boundaries)
    assert sizes.min() > 0
    assert sizes.max() < 1.5 * sizes.mean()
    assert cut(adj[800:][:, 800:], found.leaves()[800:]) < 0.2


@pytest.mark.parametrize("num_nodes", [16, 17, 20, 33])
@pytest.mark.parametrize("shape", ["path", "star", "clique", "one edge"])
def test_tiny_graphs_fill_every_child(num_nodes, shape):
    pairs = {
        "path": [(i, i + 1) for i in range(num_nodes - 1)],
        "star": [(0, i) for i in range(1, num_nodes)],
        "clique": list(itertools.combinations(range(num_nodes), 2)),
        "one edge": [(0, 1)],
    }[shape]
    found = partition_graph(edges(pairs, num_nodes), (4, 4))
    assert found.digits().codes()[:, 0].bincount().min() >= num_nodes // 4 - 1
    for child in range(4):  # no parent leaves a child empty that it could fill
        sizes = np.diff(found.boundaries)[4 * child : 4 * child + 4]
        assert (sizes > 0).sum() == min(4, sizes.sum())


def test_empty_parts_are_filled(monkeypatch):
    monkeypatch.setattr(MetisProcess, "cut", lambda _, adj, *__: np.zeros(6, np.int64))
    found = partition_graph(edges([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], 6), (4,))
    assert np.diff(found.boundaries).tolist() == [3, 1, 1, 1]


def test_direction_loops_and_duplicates_do_not_matter():
    upper = sparse.coo_array(sparse.triu(GRAPH))
    row = np.concatenate([upper.row, upper.row, np.arange(3000)])
    col = np.concatenate([upper.col, upper.col, np.arange(3000)])
    twice = sparse.coo_array((np.ones(row.size), (row, col)), shape=(3000, 3000))
    assert np.array_equal(
        partition_graph(twice, (8,)).order, partition_graph(GRAPH, (8,)).order
    )


def test_progress_rises_to_one():
    calls = []
    partition_graph(
        GRAPH, (4, 4, 4), progress=lambda done, stage: calls.append((done, stage))
    )
    done = [fraction for fraction, _ in calls]
    assert len(calls) == 21  # one per cluster that is cut
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert {stage for _, stage in calls} == {"partition"}


def test_more_levels_than_a_codebook_holds_still_have_digits():
    order = np.arange(4)
    wide = Partition(order, np.array([0] + [4] * 2**17), (2,) * 17)
    with pytest.raises(ValueError, match=r"got 131072 clusters; use kind='digits'"):
        wide.levels()
    assert wide.digits().codes().sum() == 0
    with pytest.raises(ValueError, match="got 131072 clusters"):
        partition_codes(GRAPH, (2,) * 17)


@pytest.mark.parametrize(
    ("branching", "error", "says"),
    [
        ((64, 64), ValueError, "4096 clusters for 3000 nodes"),
        ((), ValueError, "one level or more"),
        ((4, 1), ValueError, "2 to 65536 children"),
        ((4, -2), ValueError, "2 to 65536 children"),
        ((4.0, 4), TypeError, "integers as branching, got 4.0"),
        ((True, 4), TypeError, "integers"),
    ],
)
def test_bad_branching(branching, error, says):
    with pytest.raises(error, match=says):
        partition_graph(GRAPH, branching)


def test_bad_kind_and_adjacency():
    with pytest.raises(ValueError, match="'levels' or 'digits', got 'level'"):
        partition_codes(GRAPH, kind="level")
    with pytest.raises(ValueError, match="a graph with edges"):
        partition_codes(sparse.csr_array((300, 300)))
