from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from kdgraph.data import Graph, build_adjacency, homophily


def graph_of(edge_index: np.ndarray, y: torch.Tensor) -> Graph:
    ids = torch.arange(3)
    return Graph(
        name="toy",
        adj=build_adjacency(edge_index, y.size(0)),
        y=y,
        train_idx=ids[:1],
        valid_idx=ids[1:2],
        test_idx=ids[2:],
        num_classes=3,
    )


def test_equals_a_loop(edge_list: tuple[np.ndarray, int]) -> None:
    edge_index, num_nodes = edge_list
    y = np.random.default_rng(0).integers(-1, 3, num_nodes)
    pairs = {pair for u, v in edge_index.T.tolist() for pair in [(u, v), (v, u)]}
    known = [(u, v) for u, v in pairs if y[u] >= 0 and y[v] >= 0]
    expected = sum(int(y[u] == y[v]) for u, v in known) / len(known)
    assert homophily(graph_of(edge_index, torch.from_numpy(y))) == pytest.approx(
        expected
    )


def test_equals_pyg(edge_list: tuple[np.ndarray, int]) -> None:
    from torch_geometric.utils import homophily as pyg_homophily

    from kdgraph.data import to_edge_index

    edge_index, num_nodes = edge_list
    y = torch.from_numpy(np.random.default_rng(1).integers(0, 3, num_nodes))
    graph = graph_of(edge_index, y)
    expected = pyg_homophily(to_edge_index(graph.adj)[0], y, method="edge")
    assert homophily(graph) == pytest.approx(expected)


def test_no_edge_between_labelled_nodes() -> None:
    y = torch.tensor([0, -1, -1, 1])
    assert math.isnan(homophily(graph_of(np.array([[0, 1], [1, 2]]), y)))
    assert math.isnan(homophily(graph_of(np.zeros((2, 0), dtype=int), y)))


def test_multi_label_is_refused() -> None:
    graph = graph_of(np.array([[0], [1]]), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="one class per node"):
        homophily(dataclasses.replace(graph, y=torch.zeros(3, 3)))
