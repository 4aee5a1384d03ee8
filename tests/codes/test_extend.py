"""Codes of later nodes: a plain loop, paths that exist, nodes nobody knows."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes import CodeTable, Prefix, extend, random_codes
from kdgraph.codes.extend import extend_codes
from kdgraph.codes.partition import partition_codes
from kdgraph.data import sbm

OLD, ALL, SIZES = 120, 200, (3, 5, 2)


def case(seed, weights):
    rng = np.random.default_rng(seed)
    row, col = rng.integers(ALL - 5, size=(2, 260))  # 5 nodes at least are isolated
    # Nodes that stand in one line and touch the rest at its end alone.
    row = np.concatenate([row, np.arange(150, 160)])
    col = np.concatenate([col, np.arange(151, 161)])
    weight = rng.integers(1, 4, row.size) if weights else np.ones(row.size)
    adj = sparse.coo_array((weight, (row, col)), shape=(ALL, ALL)).tocsr()
    generator = torch.Generator().manual_seed(seed)
    return random_codes(OLD, len(SIZES), SIZES, generator=generator), adj


def lowest_majority(votes):
    return min(votes, key=lambda code: (-votes[code], code))


def ballot(voters, codes, path):
    """Codes that (node, weight) pairs elect, position by position."""
    won = []
    for position in range(len(SIZES)):
        votes = Counter()
        for node, weight in voters:
            votes[codes[node][position]] += weight
        won.append(lowest_majority(votes))
        if path:
            voters = [pair for pair in voters if codes[pair[0]][position] == won[-1]]
    return won


def plain_loop(table, adj, path):
    dense = (adj + adj.T).toarray()
    np.fill_diagonal(dense, 0)
    codes = dict(enumerate(table.codes().tolist()))
    fallback = ballot([(node, 1) for node in range(OLD)], codes, path)
    while True:
        found = {}
        for node in range(OLD, ALL):
            voters = [(u, dense[node, u]) for u in codes if dense[node, u]]
            if node not in codes and voters:
                found[node] = ballot(voters, codes, path)
        if not found:
            return [codes.get(node, fallback) for node in range(ALL)]
        codes |= found


@pytest.mark.parametrize("vote", ["path", "position"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_plain_loop(monkeypatch, vote, weights, seed):
    monkeypatch.setattr(extend, "CHUNK_ROWS", 17)
    table, adj = case(seed, weights)
    before = adj.copy(), table.packed.clone()
    made = extend_codes(table, adj, vote=vote)
    assert made.codes().tolist() == plain_loop(table, adj, vote == "path")
    assert torch.equal(made.packed[:OLD], before[1])
    assert torch.equal(table.packed, before[1])
    assert np.array_equal(adj.toarray(), before[0].toarray())


@pytest.mark.parametrize("vote", ["path", "position"])
def test_order_of_new_nodes_does_not_matter(vote):
    table, adj = case(0, weights=True)
    perm = np.concatenate(
        [np.arange(OLD), OLD + np.random.default_rng(0).permutation(80)]
    )
    moved = extend_codes(table, adj[perm][:, perm], vote=vote)
    codes = extend_codes(table, adj, vote=vote).codes()
    assert torch.equal(moved.codes(), codes[torch.from_numpy(perm)])


def test_paths_stay_paths_and_hidden_nodes_find_their_cluster():
    graph = sbm(num_nodes=2000, mean_degree=12, seed=0)
    perm = np.random.default_rng(0).permutation(2000)
    adj = graph.adj[perm][:, perm]
    whole = partition_codes(adj, (5, 6))
    known = CodeTable(whole.packed[:1600], whole.codebook_sizes)
    codes = extend_codes(known, adj).codes()
    assert torch.equal(codes[:, 1] // 6, codes[:, 0])
    right = (codes == whole.codes())[1600:].float().mean(dim=0)
    assert right[0] > 0.6  # one cluster of five by chance
    assert right[1] > 0.4


def test_a_line_of_new_nodes_is_reached_from_its_end():
    line = sparse.diags_array([np.ones(999)], offsets=[1], shape=(1000, 1000))
    table = CodeTable.from_codes(torch.tensor([[0], [0], [0], [3]]), 5)
    assert (extend_codes(table, line.tocsr()).codes()[3:] == 3).all()


def test_a_prefix_is_written_out():
    table, adj = case(0, weights=True)
    prefix = Prefix(torch.tensor([0, 50, OLD]), (2,))
    told = table.prefixed(prefix)
    assert extend_codes(told, adj).codes().tolist() == (
        extend_codes(told.explicit(), adj).codes().tolist()
    )


def test_nothing_new():
    table, adj = case(0, weights=False)
    assert torch.equal(extend_codes(table, adj[:OLD][:, :OLD]).packed, table.packed)


def test_bad_input():
    table, adj = case(0, weights=False)
    with pytest.raises(ValueError, match="'path' or 'position', got 'paths'"):
        extend_codes(table, adj, vote="paths")
    with pytest.raises(ValueError, match="120 nodes of the table and new ones, got"):
        extend_codes(table, adj[:60][:, :60])
    with pytest.raises(TypeError, match="extend_codes expects a scipy"):
        extend_codes(table, adj.toarray())
