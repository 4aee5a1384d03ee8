"""Weights of edges, where training reads the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from kdgraph.baselines import LabelPropagation
from kdgraph.codes import partition_codes, spectral_codes
from kdgraph.data import Graph, build_adjacency, to_edge_index
from kdgraph.training import TrainConfig, message_graph
from kdgraph.training.batches.blocks import BlockSampler
from kdgraph.training.batches.layerwise import LayerwiseInference
from kdgraph.training.networks import build_gnn

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def weighted(graph: Graph) -> Graph:
    """The same graph with symmetric weights, zeros and a few loops among them."""
    edge_index, _ = to_edge_index(graph.adj)
    edges = np.concatenate([edge_index.numpy(), [[3, 5], [3, 5]]], axis=1)
    rng = np.random.default_rng(0)
    table = rng.integers(0, 8, (graph.num_nodes, graph.num_nodes)) / 4
    weights = np.maximum(table, table.T)[edges[0], edges[1]] + (edges[0] == edges[1])
    adj = build_adjacency(edges, graph.num_nodes, edge_weight=weights)
    return dataclasses.replace(graph, adj=adj)


def test_the_convolution_is_pygs(weighted: Graph) -> None:
    edge_index, weight = to_edge_index(weighted.adj)
    index, value = gcn_norm(edge_index, weight, weighted.num_nodes)
    size = (weighted.num_nodes,) * 2
    wanted = torch.sparse_coo_tensor(index.flip(0), value, size).to_dense()
    found = message_graph("gcn", weighted).to_dense()
    assert torch.allclose(found, wanted, atol=1e-6)
    assert not torch.allclose(found, message_graph("gcn", plain(weighted)).to_dense())


def plain(graph: Graph) -> Graph:
    adj = graph.adj.copy()
    adj.data[:] = 1.0
    return dataclasses.replace(graph, adj=adj)


@pytest.mark.parametrize("model", ["gcn", "sage", "gin", "gat"])
def test_in_batches_as_in_one(
    weighted: Graph, make_config: MakeConfig, model: str
) -> None:
    config = make_config(model=model)
    gnn = build_gnn(config, 3).eval()
    x = torch.randn(weighted.num_nodes, config.dim)
    whole = gnn(x, message_graph(model, weighted))
    sampler = BlockSampler(weighted, model)
    layerwise = LayerwiseInference(gnn, sampler, memory=1 << 30)
    assert torch.allclose(layerwise(lambda n_id: x[n_id]), whole, atol=1e-5)
    everything = sampler.induced(torch.arange(weighted.num_nodes)).graph
    assert torch.allclose(gnn(x, everything), whole, atol=1e-5)
    same = torch.equal(gnn(x, message_graph(model, plain(weighted))), whole)
    assert same == (model != "gcn")


def test_drawn_neighbours_weigh_what_all_do_on_average(weighted: Graph) -> None:
    sampler, nodes = BlockSampler(weighted, "gcn"), torch.arange(weighted.num_nodes)
    x = torch.randn(weighted.num_nodes)
    wanted = message_graph("gcn", weighted) @ x[:, None]
    total = torch.zeros_like(wanted)
    for seed in range(1000):
        block = sampler.draw(nodes, 2, seed)
        total += block.graph @ x[block.n_id][:, None]
    assert torch.allclose(total / 1000, wanted, atol=0.15)


def test_codes_and_label_propagation_read_them() -> None:
    """Two heavy halves, joined by as many light edges as each has itself."""
    half = 12
    pairs = np.array([(u, v) for u in range(2 * half) for v in range(u)])
    side = pairs // half
    weights = np.where(side[:, 0] == side[:, 1], 1.0, 0.001)
    order = np.random.default_rng(0).permutation(2 * half)
    adj = build_adjacency(order[pairs.T], 2 * half, edge_weight=weights)
    truth = torch.empty(2 * half, dtype=torch.int64)
    truth[torch.from_numpy(order)] = torch.arange(2 * half) // half
    for codes in (partition_codes(adj, (2,)), spectral_codes(adj, 1, 2)):
        found = codes.codes()[:, 0]
        assert torch.equal(found, truth) or torch.equal(1 - found, truth)
    known = torch.tensor([int(order[0]), int(order[-1])])
    assert torch.equal(LabelPropagation()(adj, truth, known, 2).argmax(1), truth)
