"""NeighborSampler under PyG's NodeLoader."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import GraphSAGE
from torch_geometric.sampler import NodeSamplerInput

from kdgraph.data import NeighborSampler, sbm
from kdgraph.ops import Pattern


def loader(sampler, nodes, **options):
    return NodeLoader(sampler.data, sampler, input_nodes=nodes, **options)


def edges_of(graph):
    """Every edge, source and target."""
    coo = graph.adj.tocoo()
    return set(zip(coo.col.tolist(), coo.row.tolist(), strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_parts_of_the_graph(workers):
    graph = sbm(num_nodes=300, mean_degree=6, seed=0)
    known, seen = edges_of(graph), []
    sampler = NeighborSampler(graph, [4, 3])
    for batch in loader(sampler, graph.train_idx, batch_size=32, num_workers=workers):
        source, target = batch.n_id[batch.edge_index]
        assert set(zip(source.tolist(), target.tolist(), strict=True)) <= known
        assert torch.equal(batch.y, graph.y[batch.n_id])
        assert sum(batch.num_sampled_nodes) == batch.num_nodes
        assert sum(batch.num_sampled_edges) == batch.num_edges
        seen.append(batch.n_id[: batch.batch_size])
    assert torch.equal(torch.cat(seen), graph.train_idx)


def test_edges_are_named_as_in_the_list_they_came_from():
    edge_index = torch.randint(30, (2, 200), generator=torch.Generator().manual_seed(0))
    data = Data(edge_index=edge_index, num_nodes=30, edge_attr=torch.arange(200))
    sampler = NeighborSampler(data, [5, -1])
    for batch in loader(sampler, torch.arange(30), batch_size=7):
        assert torch.equal(batch.n_id[batch.edge_index], edge_index[:, batch.e_id])
        assert torch.equal(batch.edge_attr, batch.e_id)


def test_all_neighbours_of_all_hops_give_the_scores_of_the_whole_graph():
    graph = sbm(num_nodes=120, mean_degree=5, seed=1)
    coo = graph.adj.tocoo()
    edge_index = torch.tensor([coo.col.tolist(), coo.row.tolist()])
    model = GraphSAGE(8, 16, num_layers=2, out_channels=3).eval()
    x = torch.randn(120, 8)
    with torch.no_grad():
        want = model(x, edge_index)
        for batch in loader(NeighborSampler(graph, [-1, -1]), None, batch_size=50):
            found = model(
                x[batch.n_id],
                batch.edge_index,
                num_sampled_nodes_per_hop=batch.num_sampled_nodes,
                num_sampled_edges_per_hop=batch.num_sampled_edges,
            )
            seeds = batch.n_id[: batch.batch_size]
            close = {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(found[: batch.batch_size], want[seeds], **close)


def test_torchs_seed_repeats_batches():
    graph = sbm(num_nodes=300, mean_degree=8, seed=0)
    sampler = NeighborSampler(graph, [2, 2], replace=True)

    def epoch():
        return [batch.e_id for batch in loader(sampler, graph.train_idx, batch_size=20)]

    torch.manual_seed(3)
    first, second = epoch(), epoch()
    torch.manual_seed(3)
    again = epoch()
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not all(
        torch.equal(one, other) for one, other in zip(first, second, strict=True)
    )


def test_a_pattern():
    pattern = Pattern(torch.tensor([0, 2, 2]), torch.tensor([0, 1]), 2)
    sampler = NeighborSampler(pattern, [-1])
    (batch,) = loader(sampler, torch.tensor([0]), batch_size=1)
    assert batch.n_id.tolist() == [0, 1]
    assert batch.edge_index.tolist() == [[0, 1], [0, 0]]
    assert repr(sampler) == (
        "NeighborSampler(2 nodes, 2 edges, num_neighbors=[-1], replace=False)"
    )


def test_bad_input():
    graph = sbm(num_nodes=30, mean_degree=4, seed=0)
    with pytest.raises(TypeError, match="a Data with an edge_index.*got Data"):
        NeighborSampler(Data(num_nodes=3), [2])
    with pytest.raises(TypeError, match="got str"):
        NeighborSampler("cora", [2])
    with pytest.raises(
        ValueError, match="NeighborSampler expects at least 1 neighbour"
    ):
        NeighborSampler(graph, [0])
    sampler = NeighborSampler(graph, [2])
    with pytest.raises(IndexError, match=r"seeds in \[0, 30\), got 30"):
        sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([30])))
    with pytest.raises(NotImplementedError, match="draws around nodes"):
        sampler.sample_from_edges(None)
