"""Unions of clusters: a naive loop, PyG's subgraph, and what an epoch visits."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from kdgraph.data import ClusterLoader, open_csr, prepare_graph, sbm
from kdgraph.ops import Pattern

GRAPH = sbm(num_nodes=200, mean_degree=6, seed=0)
# Of seven numbers, two have no nodes.
CLUSTERS = torch.tensor([0, 1, 2, 4, 6])[
    torch.randint(5, (200,), generator=torch.Generator().manual_seed(0))
]


def edge_list(graph):
    coo = graph.adj.tocoo()
    return torch.tensor(np.stack([coo.col, coo.row])).long()


def epoch_of(loader):
    return [batch.n_id for batch in loader]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_a_batch_is_what_pyg_cuts_out():
    edges = edge_list(GRAPH)
    number = torch.arange(edges.size(1))
    for batch in ClusterLoader(GRAPH, CLUSTERS, batch_size=2):
        place = torch.full((200,), -1)
        place[batch.n_id] = torch.arange(batch.num_nodes)
        want, e_id = subgraph(batch.n_id, edges, number, num_nodes=200)
        order = place[want[1]].argsort(stable=True)
        assert torch.equal(batch.edge_index, place[want[:, order]])
        assert torch.equal(batch.e_id, e_id[order])
        assert torch.equal(batch.y, GRAPH.y[batch.n_id])
        degree = edges[1].bincount(minlength=200)
        assert torch.equal(batch.full_degree, degree[batch.n_id])


def test_masks_name_the_split():
    loader = ClusterLoader(GRAPH, CLUSTERS, batch_size=2)
    for part, idx in (
        ("train_mask", GRAPH.train_idx),
        ("val_mask", GRAPH.valid_idx),
        ("test_mask", GRAPH.test_idx),
    ):
        found = torch.cat([batch.n_id[batch[part]] for batch in loader])
        assert torch.equal(found.sort().values, idx.sort().values)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_epoch_visits_each_cluster_once(batch_size):
    loader = ClusterLoader(GRAPH, CLUSTERS, batch_size=batch_size, seed=3)
    assert loader.num_clusters == 5
    assert len(loader) == -(-5 // batch_size)
    drawn = []
    for n_id in epoch_of(loader):
        # A union of whole clusters, one after the other, ascending within each.
        numbers, sizes = CLUSTERS[n_id].unique_consecutive(return_counts=True)
        assert numbers.numel() <= batch_size
        for cluster, nodes in zip(numbers, n_id.split(sizes.tolist()), strict=True):
            assert torch.equal(nodes, torch.where(cluster == CLUSTERS)[0])
        drawn += numbers.tolist()
    assert sorted(drawn) == [0, 1, 2, 4, 6]


def test_without_shuffling_clusters_come_by_number():
    loader = ClusterLoader(GRAPH, CLUSTERS, batch_size=2, shuffle=False)
    for _ in range(2):
        found = [CLUSTERS[n_id].unique().tolist() for n_id in epoch_of(loader)]
        assert found == [[0, 1], [2, 4], [6]]


def test_epochs_differ_and_pairs_of_clusters_meet_as_often():
    clusters = torch.arange(200) % 4
    loader = ClusterLoader(GRAPH, clusters, batch_size=2)
    partners = []
    for _ in range(600):
        first = next(iter(loader)).n_id % 4
        partners.append(tuple(sorted(first.unique().tolist())))
    # The first batch is each of the six pairs: mean 100, deviation 9.
    counts = [partners.count(pair) for pair in sorted(set(partners))]
    assert len(counts) == 6
    assert all(60 < count < 140 for count in counts)


def test_what_is_drawn_follows_from_seed_and_epoch():
    def make(seed=3, **options):
        return ClusterLoader(GRAPH, torch.arange(200) % 40, seed=seed, **options)

    loader = make(batch_size=8)
    epochs = [epoch_of(loader) for _ in range(3)]
    assert loader.epoch == 3
    assert not same(epochs[0], epochs[1])
    assert not same(epochs[1], epochs[2])
    torch.manual_seed(17)
    resumed = make(batch_size=8)
    resumed.set_epoch(2)
    assert same(epochs[2], epoch_of(resumed))
    assert resumed.epoch == 3
    resumed.set_epoch(1)
    assert same(epochs[1], epoch_of(resumed))
    # Not the sum of both.
    other = make(seed=4, batch_size=8)
    assert not same(epochs[1], epoch_of(other))
    # How many clusters a batch has does not change their order.
    alone = make(batch_size=1)
    assert torch.equal(torch.cat(epoch_of(alone)), torch.cat(epochs[0]))


def test_workers_draw_the_same():
    plain = ClusterLoader(GRAPH, CLUSTERS, batch_size=2)
    workers = ClusterLoader(
        GRAPH, CLUSTERS, batch_size=2, num_workers=2, persistent_workers=True
    )
    for _ in range(2):
        for one, other in zip(plain, workers, strict=True):
            parts, others = one.to_dict(), other.to_dict()
            assert parts.keys() == others.keys()
            assert parts.pop("num_nodes") == others.pop("num_nodes")
            assert all(torch.equal(parts[key], others[key]) for key in parts)
    assert workers.epoch == 2


def test_the_same_graph_in_other_forms(tmp_path):
    edges = edge_list(GRAPH)
    np.savez(tmp_path / "edges.npz", edge_index=edges.numpy(), num_nodes=200)
    prepare_graph(tmp_path / "edges.npz", tmp_path / "graph")
    pattern = Pattern.of_edges(edges[0], edges[1], (200, 200))
    forms = [GRAPH, open_csr(tmp_path / "graph"), pattern]
    loaders = [ClusterLoader(form, CLUSTERS, batch_size=2) for form in forms]
    for batches in zip(*loaders, strict=True):
        for other in batches[1:]:
            assert "y" not in other
            assert other.num_nodes == batches[0].num_nodes
            for key in ("n_id", "edge_index", "e_id", "full_degree"):
                assert torch.equal(batches[0][key], other[key])


def test_a_list_of_edges_in_any_order_keeps_what_it_has():
    edges = torch.randint(30, (2, 200), generator=torch.Generator().manual_seed(0))
    data = Data(
        edge_index=edges,
        num_nodes=30,
        edge_attr=torch.arange(200),
        x=torch.arange(30.0)[:, None],
        name="random",
    )
    seen = []
    for batch in ClusterLoader(data, torch.arange(30) % 5, batch_size=3):
        assert torch.equal(batch.n_id[batch.edge_index], edges[:, batch.e_id])
        assert torch.equal(batch.edge_attr, batch.e_id)
        assert torch.equal(batch.x[:, 0].long(), batch.n_id)
        assert batch.name == "random"
        assert bool((batch.edge_index[1].diff() >= 0).all())
        seen.append(batch.e_id)
    cluster = edges % 5
    inside = cluster[0] == cluster[1]
    assert set(inside.nonzero().flatten().tolist()) <= set(torch.cat(seen).tolist())


class TestEdgeCases:
    def test_all_clusters_at_once_are_the_graph(self):
        loader = ClusterLoader(GRAPH, CLUSTERS, batch_size=5, shuffle=False)
        (batch,) = loader
        assert batch.num_edges == GRAPH.num_edges
        assert torch.equal(batch.e_id.sort().values, torch.arange(GRAPH.num_edges))
        degree = batch.edge_index[1].bincount(minlength=200)
        assert torch.equal(degree, batch.full_degree)

    def test_clusters_that_ascend(self):
        clusters = torch.arange(200) // 64
        order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
        moved = GRAPH.permuted(order)
        loaders = (
            ClusterLoader(GRAPH, clusters[order.argsort()], batch_size=2),
            ClusterLoader(moved, clusters, batch_size=2),
        )
        for one, other in zip(*loaders, strict=True):
            ends = one.n_id[one.edge_index], order[other.n_id[other.edge_index]]
            given, found = (set(zip(*pair.tolist(), strict=True)) for pair in ends)
            assert given == found
            assert len(given) == one.num_edges == other.num_edges > 0

    @pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
    def test_narrow_integers(self, kind):
        one = ClusterLoader(GRAPH, CLUSTERS, batch_size=2)
        other = ClusterLoader(GRAPH, CLUSTERS.to(kind), batch_size=2)
        assert same(epoch_of(one), epoch_of(other))

    def test_one_cluster_self_loops_and_an_isolated_node(self):
        data = Data(edge_index=torch.tensor([[0, 2, 0], [0, 0, 2]]), num_nodes=4)
        (batch,) = ClusterLoader(data, torch.full((4,), 9))
        assert batch.n_id.tolist() == [0, 1, 2, 3]
        assert batch.edge_index.tolist() == [[0, 2, 0], [0, 0, 2]]
        assert batch.full_degree.tolist() == [2, 0, 1, 0]

    def test_one_node(self):
        edges = torch.empty((2, 0), dtype=torch.int64)
        data = Data(edge_index=edges, y=torch.tensor([5]), num_nodes=1)
        (batch,) = ClusterLoader(data, torch.tensor([0]))
        assert batch.n_id.tolist() == [0]
        assert batch.y.tolist() == [5]
        assert batch.num_nodes == 1
        assert batch.edge_index.shape == (2, 0)

    @pytest.mark.filterwarnings("ignore:Unable to accurately infer")
    def test_nodes_without_edges_are_counted(self):
        # Nothing but the batch's own edges would tell PyG how many nodes there are.
        data = Data(edge_index=torch.tensor([[0], [1]]))
        found = [batch.num_nodes for batch in ClusterLoader(data, torch.tensor([0, 1]))]
        assert found == [1, 1]


class TestBadInput:
    @pytest.mark.parametrize(
        ("clusters", "error", "match"),
        [
            (torch.zeros(199, dtype=torch.int64), ValueError, r"200 nodes, got .*199"),
            (torch.zeros(200, 1, dtype=torch.int64), ValueError, r"got shape \[200, 1"),
            (torch.zeros(200), TypeError, "clusters of integers, got torch.float32"),
            (torch.zeros(200, dtype=torch.bool), TypeError, "got torch.bool"),
            ([0] * 200, TypeError, "a tensor of integers, got list"),
            (torch.arange(200) - 3, ValueError, "at least 0, got -3 for node 0"),
        ],
    )
    def test_clusters(self, clusters, error, match):
        with pytest.raises(error, match=match):
            ClusterLoader(GRAPH, clusters)

    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ({"batch_size": 6}, ValueError, "from 1 to the 5 clusters .*, got 6"),
            ({"batch_size": 0}, ValueError, "from 1 to the 5 clusters .*, got 0"),
            ({"batch_size": 1.0}, TypeError, "batch_size as an integer, got 1.0"),
            ({"batch_size": None}, TypeError, "batch_size as an integer, got None"),
            ({"seed": "0"}, TypeError, "seed as an integer, got '0'"),
            ({"drop_last": True}, TypeError, "decides on 'drop_last' itself"),
            ({"collate_fn": list}, TypeError, "decides on 'collate_fn' itself"),
        ],
    )
    def test_options(self, options, error, match):
        with pytest.raises(error, match=match):
            ClusterLoader(GRAPH, CLUSTERS, **options)

    def test_epochs(self):
        loader = ClusterLoader(GRAPH, CLUSTERS)
        with pytest.raises(ValueError, match="at least 0, got -1"):
            loader.set_epoch(-1)
        with pytest.raises(TypeError, match="epoch as an integer, got 1.5"):
            loader.set_epoch(1.5)

    def test_graphs(self):
        with pytest.raises(TypeError, match="ClusterLoader expects a Graph .*got str"):
            ClusterLoader("cora", CLUSTERS)
        pattern = Pattern(torch.tensor([0, 1]), torch.tensor([1]), 2)
        with pytest.raises(ValueError, match="one kind, got 2 sources and 1 targets"):
            ClusterLoader(pattern, torch.tensor([0]))
        none = Pattern(torch.tensor([0]), torch.zeros(0, dtype=torch.int64), 0)
        with pytest.raises(ValueError, match="from 1 to the 0 clusters"):
            ClusterLoader(none, torch.zeros(0, dtype=torch.int64))


def test_what_it_says_of_itself():
    loader = ClusterLoader(GRAPH, CLUSTERS, batch_size=2, seed=-1)
    assert repr(loader) == (
        f"ClusterLoader(200 nodes, {GRAPH.num_edges} edges, 5 clusters, batch_size=2, "
        "shuffle=True, seed=-1)"
    )
    assert len(epoch_of(loader)) == 3
