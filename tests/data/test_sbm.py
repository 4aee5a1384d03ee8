from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import sparse

from kdgraph.data import Graph, homophily, sbm


def label_propagation(graph: Graph, steps: int = 50, alpha: float = 0.9) -> float:
    degree = np.maximum(graph.adj.sum(axis=1), 1)
    scale = sparse.diags_array(degree**-0.5)
    step = scale @ graph.adj @ scale
    y, train = graph.y.numpy(), graph.train_idx.numpy()
    start = np.zeros((graph.num_nodes, graph.num_classes))
    start[train, y[train]] = 1
    scores = start
    for _ in range(steps):
        scores = alpha * (step @ scores) + (1 - alpha) * start
    test = graph.test_idx.numpy()
    return float((scores.argmax(axis=1) == y)[test].mean())


def test_default_graph() -> None:
    begin = time.perf_counter()
    graph = sbm()
    assert time.perf_counter() - begin < 2
    assert (graph.name, graph.num_nodes, graph.num_classes) == ("sbm", 20_000, 10)
    sizes = [idx.numel() for idx in (graph.train_idx, graph.valid_idx, graph.test_idx)]
    assert sizes == [2000, 2000, 16_000]
    degree = np.diff(graph.adj.indptr)
    assert 9 < degree.mean() < 10.5
    assert 0 < (degree == 0).sum() < 200
    assert degree.max() > 100
    assert (graph.adj != graph.adj.T).nnz == 0
    assert graph.adj.diagonal().sum() == 0
    assert np.bincount(graph.y.numpy()).min() > 1000


def test_labels_follow_the_structure_but_not_trivially() -> None:
    graph = sbm(seed=1)
    assert 0.7 < label_propagation(graph) < 0.85
    assert 0.5 < homophily(graph) < 0.75


def test_ids_tell_nothing_about_labels() -> None:
    y = sbm().y.numpy()
    assert abs(np.mean(y[1:] == y[:-1]) - 0.1) < 0.02


def test_seeds() -> None:
    first, again, other = (sbm(2000, seed=seed) for seed in (4, 4, 5))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_directed_draws_the_same_edges() -> None:
    one_way, both = sbm(500, directed=True), sbm(500)
    assert one_way.directed
    assert ((one_way.adj + one_way.adj.T > 0) != (both.adj > 0)).nnz == 0
    assert (one_way.adj != one_way.adj.T).nnz > 0


def test_blocks_are_denser_than_classes() -> None:
    # With edges inside blocks only, a class falls apart into its blocks.
    graph = sbm(
        4000, num_classes=2, blocks_per_class=3, within_block=1.0, within_class=0.0,
        mean_degree=30,
    )  # fmt: skip
    _, component = sparse.csgraph.connected_components(graph.adj)
    large = np.flatnonzero(np.bincount(component) > 50)
    assert large.size == 6
    for number in large:
        assert np.unique(graph.y.numpy()[component == number]).size == 1


@pytest.mark.parametrize("num_nodes", [3, 4, 11])
def test_tiny(num_nodes: int) -> None:
    graph = sbm(num_nodes, mean_degree=2)
    idx = np.concatenate([graph.train_idx, graph.valid_idx, graph.test_idx])
    assert sorted(idx.tolist()) == list(range(num_nodes))
    assert graph.num_classes == 10


def test_no_edges() -> None:
    assert sbm(100, mean_degree=0).num_edges == 0


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_nodes", 2),
        ("num_classes", 0),
        ("blocks_per_class", 0),
        ("mean_degree", -1.0),
        ("mean_degree", float("nan")),
        ("within_block", 0.9),
        ("within_class", -0.1),
        ("exponent", 2.0),
        ("train_fraction", 0.0),
        ("valid_fraction", 0.9),
        ("seed", -1),
    ],
)
def test_errors(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=argument):
        sbm(**{argument: value})  # type: ignore[arg-type]
