"""NeighborSampler under PyG's NodeLoader."""

import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import GraphSAGE
from torch_geometric.sampler import NodeSamplerInput, NumNeighbors
from torch_geometric.testing import MyFeatureStore, MyGraphStore

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


def test_no_hop_is_the_seeds():
    graph = sbm(num_nodes=30, mean_degree=4, seed=0)
    for hops in ([], NumNeighbors([])):
        (batch,) = loader(
            NeighborSampler(graph, hops), torch.tensor([4, 2]), batch_size=2
        )
        assert batch.n_id.tolist() == [4, 2]
        assert (batch.num_edges, batch.num_sampled_edges) == (0, [])
        assert batch.num_sampled_nodes == [2]


def test_numbers_of_neighbours_without_types():
    graph = sbm(num_nodes=30, mean_degree=4, seed=0)
    for given in (NumNeighbors([3, 2]), NumNeighbors({}, default=[3, 2])):
        assert NeighborSampler(graph, given).num_neighbors == [3, 2]
    for given in ({("a", "to", "b"): [2]}, NumNeighbors({("a", "to", "b"): [2]})):
        with pytest.raises(TypeError, match="graphs of one type.*got numbers by type"):
            NeighborSampler(graph, given)


def naive_subgraph(edge_index, node, kind, drawn):
    """Pairs of places, by the definition of each type."""
    if kind == "directional":
        return sorted(drawn)
    if kind == "bidirectional":
        return sorted({*drawn, *((v, u) for u, v in drawn)})
    first = {n: i for i, n in reversed(list(enumerate(node)))}
    return sorted(
        (first[u], place)
        for u, v in edge_index.t().tolist()
        for place, n in enumerate(node)
        if n == v and u in first
    )


@pytest.mark.parametrize("kind", ["directional", "bidirectional", "induced"])
def test_types_of_subgraphs(kind):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(25, (2, 90), generator=generator).unique(dim=1)
    edge_index = edge_index[:, torch.randperm(edge_index.size(1), generator=generator)]
    data = Data(edge_index=edge_index, num_nodes=25)
    data.edge_attr = torch.arange(edge_index.size(1))
    # A seed that stands twice receives at both places.
    seeds = torch.tensor([3, 8, 3, 1])
    torch.manual_seed(1)
    drawn = NeighborSampler(data, [2, 2]).sample_from_nodes(
        NodeSamplerInput(None, seeds)
    )
    pairs = list(zip(drawn.row.tolist(), drawn.col.tolist(), strict=True))
    torch.manual_seed(1)
    sampler = NeighborSampler(data, [2, 2], subgraph_type=kind)
    batch = NodeLoader(data, sampler, input_nodes=seeds)(torch.arange(4))
    assert torch.equal(batch.n_id, drawn.node)
    found = sorted(map(tuple, batch.edge_index.t().tolist()))
    assert found == naive_subgraph(edge_index, drawn.node.tolist(), kind, pairs)
    if kind != "bidirectional":
        assert torch.equal(batch.n_id[batch.edge_index], edge_index[:, batch.e_id])
        assert torch.equal(batch.edge_attr, batch.e_id)
    trims = batch.get("num_sampled_nodes") is not None
    assert trims == (kind == "directional")


def test_disjoint_batches_have_a_graph_around_each_seed():
    graph = sbm(num_nodes=60, mean_degree=6, seed=0)
    seeds = torch.tensor([16, 9, 16])
    whole = NeighborSampler(graph, [-1, -1], disjoint=True)
    (batch,) = loader(whole, seeds, batch_size=3)
    assert batch.n_id[:3].tolist() == [16, 9, 16]
    assert batch.batch[:3].tolist() == [0, 1, 2]
    # No edge between the graphs of two seeds, no node twice in one.
    source, target = batch.batch[batch.edge_index]
    assert torch.equal(source, target)
    both = torch.stack([batch.batch, batch.n_id])
    assert both.unique(dim=1).size(1) == batch.num_nodes
    for tree, seed in enumerate(seeds):
        (alone,) = loader(NeighborSampler(graph, [-1, -1]), seed.reshape(1))
        own = batch.n_id[batch.batch == tree]
        assert own.sort().values.equal(alone.n_id.sort().values)
    assert sum(batch.num_sampled_nodes) == batch.num_nodes
    # Each draws for itself: the two graphs of node 16 differ now and then.
    few = NeighborSampler(graph, [2, 2], disjoint=True)
    differ = 0
    for _ in range(20):
        (batch,) = loader(few, seeds, batch_size=3)
        first, last = (batch.n_id[batch.batch == tree].tolist() for tree in (0, 2))
        differ += sorted(first) != sorted(last)
    assert differ > 10


@pytest.mark.parametrize("replace", [False, True])
def test_edges_are_drawn_by_their_weights(replace):
    """Frequencies of first draws, and of pairs, against the exact ones."""
    weight = torch.tensor([0.0, 1.0, 2.0, 5.0])
    edge_index = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])[:, [2, 0, 3, 1]]
    data = Data(edge_index=edge_index, num_nodes=5, w=weight[[2, 0, 3, 1]])
    share = weight / weight.sum()
    draws = 4000
    for count in (1, 2):
        sampler = NeighborSampler(data, [count], weight_attr="w", replace=replace)
        seen = torch.zeros(5)
        for _ in range(draws):
            drawn = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0])))
            seen += torch.bincount(drawn.node[drawn.row], minlength=5)
        wanted = count * share
        if count == 2 and not replace:
            rest = 1 - share
            wanted = share + sum(
                share[one] * share / rest[one] * (torch.arange(4) != one)
                for one in range(4)
            )
        assert seen[1] == 0  # of weight 0
        assert (seen[1:] / draws - wanted).abs().max() < 0.04
    every = NeighborSampler(data, [-1], weight_attr="w")
    (batch,) = loader(every, torch.tensor([0]))
    assert batch.num_edges == 4


@pytest.mark.parametrize("layout", ["csr", "coo", "csc"])
def test_an_adj_t_alone(layout):
    edge_index = torch.tensor([[1, 2, 3, 0, 0], [0, 0, 1, 2, 3]])
    for values in (torch.ones(5), torch.arange(5.0)):
        adj_t = torch.sparse_coo_tensor(edge_index.flip(0), values, (4, 4)).coalesce()
        adj_t = adj_t if layout == "coo" else getattr(adj_t, f"to_sparse_{layout}")()
        data = Data(adj_t=adj_t, x=torch.arange(4))
        for batch in loader(NeighborSampler(data, [-1, -1]), None, batch_size=2):
            for (source, target), number in zip(
                batch.x[batch.edge_index].t().tolist(),
                batch.get("edge_weight", torch.ones(batch.num_edges)).tolist(),
                strict=True,
            ):
                assert adj_t.to_dense()[target, source] == number


def test_a_feature_store_and_a_graph_store():
    features, graph = MyFeatureStore(), MyGraphStore()
    x = torch.arange(100, 130)
    features.put_tensor(x, group_name=None, attr_name="x", index=None)
    edge_index = torch.randint(30, (2, 120), generator=torch.Generator().manual_seed(0))
    graph.put_edge_index(
        (edge_index[0], edge_index[1]), edge_type=None, layout="coo", size=(30, 30)
    )
    sampler = NeighborSampler((features, graph), [3, 2])
    for batch in loader(sampler, torch.arange(30), batch_size=7):
        assert torch.equal(batch.x, x[batch.n_id])
        assert torch.equal(batch.n_id[batch.edge_index], edge_index[:, batch.e_id])
    graph.put_edge_index(
        (edge_index[0], edge_index[1]),
        edge_type=("a", "to", "a"),
        layout="coo",
        size=(30, 30),
    )
    with pytest.raises(TypeError, match="takes graphs of one type"):
        NeighborSampler((features, graph), [3, 2])


def test_bad_options():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    data.w, data.v = torch.tensor([1.0, -1.0]), torch.ones(3)
    with pytest.raises(ValueError, match="subgraph_type as one of.*got 'whole'"):
        NeighborSampler(data, [1], subgraph_type="whole")
    with pytest.raises(ValueError, match="with disjoint=True, got 'induced'"):
        NeighborSampler(data, [1], subgraph_type="induced", disjoint=True)
    with pytest.raises(ValueError, match="weight_attr='z', but the Data has only"):
        NeighborSampler(data, [1], weight_attr="z")
    with pytest.raises(ValueError, match="finite and at least 0 in 'w'"):
        NeighborSampler(data, [1], weight_attr="w")
    with pytest.raises(ValueError, match=r"weight per edge, \[2\], got shape \[3\]"):
        NeighborSampler(data, [1], weight_attr="v")
    with pytest.raises(TypeError, match="weight_attr from a Data, got Graph"):
        NeighborSampler(sbm(num_nodes=30, seed=0), [1], weight_attr="w")
    with pytest.raises(TypeError, match="graphs of one type.*got HeteroData"):
        NeighborSampler(HeteroData(), [1])
    sampler, none = NeighborSampler(data, [1]), NeighborSampler(data, [])
    timed = NodeSamplerInput(None, torch.tensor([0]), time=torch.tensor([3]))
    typed = NodeSamplerInput(None, torch.tensor([0]), None, "paper")
    absent = NodeSamplerInput(None, torch.tensor([2]))
    with pytest.raises(ValueError, match="does not look at times"):
        sampler.sample_from_nodes(timed)
    with pytest.raises(ValueError, match="got nodes of type 'paper'"):
        sampler.sample_from_nodes(typed)
    with pytest.raises(IndexError, match=r"seeds in \[0, 2\), got 2"):
        none.sample_from_nodes(absent)


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
