"""The edges among some nodes: a naive loop, PyG, and the core against numpy."""

import random

import numpy as np
import pytest
import torch
from torch_geometric.utils import subgraph

from kdgraph.ops import induced_subgraph, native

NATIVE = not native.unavailable("cpu")


def make_graph(nodes=40, seed=0, hub=2000, index=torch.int64):
    """Random edges, some of them twice, with a hub, an isolated node and a loop."""
    generator = torch.Generator().manual_seed(seed)
    degree = torch.randint(0, 9, (nodes,), generator=generator)
    degree[3], degree[7], degree[5] = hub, 0, 4
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)])
    col = torch.randint(nodes, (int(rowptr[-1]),), generator=generator)
    col[rowptr[5]] = 5
    return rowptr.to(index), col.to(index)


def naive(rowptr, col, nodes):
    places = {node: place for place, node in enumerate(nodes.tolist())}
    found = [
        (places[int(col[edge])], places[target], edge)
        for target in places
        for edge in range(int(rowptr[target]), int(rowptr[target + 1]))
        if int(col[edge]) in places
    ]
    return [list(part) for part in zip(*found, strict=True)] or [[], [], []]


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("nodes", [[5], [7], [3], [5, 3, 11, 7, 39, 0], range(40)])
def test_a_naive_loop(nodes, index):
    rowptr, col = make_graph(index=index)
    nodes = torch.tensor(nodes, dtype=index)
    found = induced_subgraph(rowptr, col, nodes)
    assert [part.tolist() for part in found] == naive(rowptr, col, nodes)
    assert all(part.dtype == torch.int64 for part in found)


@pytest.mark.usefixtures("backend_name")
def test_pyg():
    rowptr, col = make_graph(300, hub=500)
    target = torch.arange(300).repeat_interleave(rowptr.diff())
    nodes = torch.randperm(300, generator=torch.Generator().manual_seed(0))[:90]
    ascending = nodes.sort().values
    found = induced_subgraph(rowptr, col, ascending)
    edge_index, edge = subgraph(
        ascending,
        torch.stack([col, target]),
        torch.arange(col.numel()),
        relabel_nodes=True,
        num_nodes=300,
    )
    assert torch.equal(torch.stack([found.row, found.col]), edge_index)
    assert torch.equal(found.edge, edge)
    other = induced_subgraph(rowptr, col, nodes)
    assert torch.equal(other.edge.sort().values, edge)
    assert torch.equal(nodes[other.row], col[other.edge])
    assert torch.equal(nodes[other.col], target[other.edge])


@pytest.mark.skipif(not NATIVE, reason="the compiled core was not built")
@pytest.mark.parametrize("seed", range(10))
def test_the_core_finds_what_numpy_does(seed, monkeypatch):
    rng = random.Random(seed)
    index = rng.choice([torch.int32, torch.int64])
    size = rng.choice([8, 40, 3000])
    rowptr, col = make_graph(size, seed, 500, index)
    nodes = torch.tensor(rng.sample(range(size), rng.choice([1, size // 3, size])))
    found = []
    for name in ("reference", "native"):
        monkeypatch.setenv("KDGRAPH_BACKEND", name)
        found.append(induced_subgraph(rowptr, col, nodes))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("backend_name")
def test_threads_change_nothing():
    rowptr, col = make_graph(5000)
    nodes, before = torch.arange(4999, 500, -1), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = induced_subgraph(rowptr, col, nodes)
        torch.set_num_threads(5)
        other = induced_subgraph(rowptr, col, nodes)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.usefixtures("backend_name")
def test_the_rest_of_the_graph_is_not_read():
    # Edges of other nodes lead nowhere: who looks at them notices.
    rowptr, col = torch.tensor([0, 2, 4, 6]), torch.tensor([1, 0, 99, -1, 0, 2])
    found = induced_subgraph(rowptr, col, torch.tensor([0, 2]))
    assert [part.tolist() for part in found] == [[0, 0, 1], [0, 1, 1], [1, 4, 5]]


@pytest.mark.usefixtures("backend_name")
def test_edges_in_a_file(tmp_path):
    rowptr, col = make_graph(index=torch.int32)
    np.save(tmp_path / "col.npy", col.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "col.npy", mmap_mode="c"))
    nodes = torch.tensor([9, 3, 1])
    one, other = (induced_subgraph(rowptr, c, nodes) for c in (col, mapped))
    assert one.edge.numel() > 0
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.usefixtures("backend_name")
class TestEdgeCases:
    def test_nobody_and_nothing(self):
        none = torch.zeros(0, dtype=torch.int64)
        for given in (make_graph(), (torch.tensor([0]), none)):
            assert [p.numel() for p in induced_subgraph(*given, none)] == [0, 0, 0]
        alone = induced_subgraph(torch.tensor([0, 0]), none, torch.tensor([0]))
        assert [part.numel() for part in alone] == [0, 0, 0]

    def test_self_loops_and_edges_that_stand_twice(self):
        rowptr, col = torch.tensor([0, 3, 4]), torch.tensor([0, 1, 1, 0])
        found = induced_subgraph(rowptr, col, torch.tensor([1, 0]))
        assert [p.tolist() for p in found] == [[1, 1, 0, 0], [0, 1, 1, 1], [3, 0, 1, 2]]


@pytest.mark.usefixtures("backend_name")
class TestBadInput:
    def test_nodes(self):
        for wrong in (-1, 40):
            with pytest.raises(IndexError, match=rf"nodes in \[0, 40\), got {wrong}"):
                induced_subgraph(*make_graph(), torch.tensor([0, wrong]))
        with pytest.raises(ValueError, match=r"each node once, got node 6 twice"):
            induced_subgraph(*make_graph(), torch.tensor([8, 6, 2, 6, 8]))
        with pytest.raises(TypeError, match="nodes as int32 or int64, got torch.bool"):
            induced_subgraph(*make_graph(), torch.ones(40, dtype=torch.bool))

    def test_a_graph_that_is_none(self):
        node = torch.tensor([0])
        with pytest.raises(IndexError, match=r"sources in \[0, 1\), got 9 in col"):
            induced_subgraph(torch.tensor([0, 1]), torch.tensor([9]), node)
        for rowptr in ([0, 9], [2, 0], [-1, 1]):
            with pytest.raises(
                ValueError, match="rowptr to rise from 0 to the 1 edges"
            ):
                induced_subgraph(torch.tensor(rowptr), torch.tensor([0]), node)
        with pytest.raises(ValueError, match="an empty one"):
            induced_subgraph(node[:0], node[:0], node[:0])
