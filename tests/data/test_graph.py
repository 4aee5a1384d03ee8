from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.data import Graph, build_adjacency, homophily, sbm


def make(**changes: object) -> Graph:
    parts: dict[str, object] = {
        "name": "toy",
        "adj": build_adjacency(np.array([[0, 1, 2], [1, 2, 2]]), 4),
        "y": torch.tensor([0, 1, 1, -1]),
        "train_idx": torch.tensor([0]),
        "valid_idx": torch.tensor([1]),
        "test_idx": torch.tensor([2]),
        "num_classes": 2,
    }
    return Graph(**{**parts, **changes})  # type: ignore[arg-type]


def test_properties() -> None:
    graph = make()
    assert (graph.num_nodes, graph.num_edges) == (4, 5)
    assert (graph.multi_label, graph.metric) == (False, "accuracy")
    assert graph.notes == ()
    assert repr(graph) == (
        "Graph('toy', num_nodes=4, num_edges=5, num_classes=2, directed=False)"
    )
    many = make(y=torch.zeros(4, 3), num_classes=3)
    assert (many.multi_label, many.metric) == (True, "micro-f1")


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"adj": build_adjacency(np.array([[0, 1], [1, 2]]), 4)},
        {"y": torch.tensor([0, 1, 0, -1])},
        {"y": torch.tensor([[0.0], [1.0], [1.0], [0.0]])},
        {"train_idx": torch.tensor([0, 3])},
        {"valid_idx": torch.tensor([0]), "train_idx": torch.tensor([1])},
        {"directed": True},
        {"num_classes": 3},
    ],
)
def test_fingerprint_sees_what_matters(changes: dict[str, object]) -> None:
    assert make(**changes).fingerprint() != make().fingerprint()


def test_fingerprint_ignores_what_does_not() -> None:
    graph = make()
    wide = graph.adj.copy()
    wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
    again = make(name="other", notes=("note",), adj=wide)
    assert again.fingerprint() == graph.fingerprint()
    assert len(graph.fingerprint()) == 64


def test_fingerprint_of_an_unsorted_matrix_leaves_it_alone() -> None:
    shuffled = sparse.csr_array(
        (np.ones(5, dtype="f4"), [1, 2, 0, 2, 1], [0, 1, 3, 5, 5]), shape=(4, 4)
    )
    assert not shuffled.has_sorted_indices
    assert make(adj=shuffled).fingerprint() == make().fingerprint()
    assert shuffled.indices.tolist() == [1, 2, 0, 2, 1]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"adj": np.eye(4)}, TypeError, "CSR"),
        ({"adj": sparse.coo_array(np.eye(4))}, TypeError, "CSR"),
        ({"adj": sparse.csr_array(np.ones((4, 3)))}, ValueError, "square"),
        ({"y": torch.zeros(3, dtype=torch.long)}, ValueError, "'y'"),
        ({"y": torch.zeros(4)}, TypeError, "'y'"),
        ({"y": torch.zeros(4, 2, dtype=torch.long)}, TypeError, "'y'"),
        ({"test_idx": torch.tensor([4])}, ValueError, "'test_idx'"),
        ({"test_idx": torch.tensor([-1])}, ValueError, "'test_idx'"),
        ({"train_idx": torch.ones(4, dtype=torch.bool)}, TypeError, "'train_idx'"),
    ],
)
def test_errors(changes: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make(**changes)


@pytest.mark.parametrize("directed", [False, True])
def test_permuted_graph_is_the_same_graph(directed: bool) -> None:
    graph = sbm(num_nodes=300, directed=directed, seed=1)
    order = np.random.default_rng(0).permutation(300)
    moved = graph.permuted(order)
    assert np.array_equal(moved.adj.toarray(), graph.adj.toarray()[order][:, order])
    assert moved.adj.has_sorted_indices
    assert moved.adj.indices.dtype == graph.adj.indices.dtype
    assert torch.equal(moved.y, graph.y[torch.from_numpy(order)])
    for key in ("train_idx", "valid_idx", "test_idx"):
        rows, nodes = getattr(moved, key), getattr(graph, key)
        assert np.array_equal(order[rows.numpy()], nodes.numpy())
    assert (moved.name, moved.directed) == (graph.name, directed)
    assert homophily(moved) == homophily(graph)
    assert moved.fingerprint() != graph.fingerprint()
    back = moved.permuted(torch.from_numpy(np.argsort(order)))
    assert back.fingerprint() == graph.fingerprint()


def test_permuted_rows_of_many_labels() -> None:
    graph = make(y=torch.eye(4)[:, :3], num_classes=3)
    moved = graph.permuted(np.array([3, 1, 0, 2], dtype=np.int32))
    assert moved.y.argmax(dim=1)[moved.test_idx].tolist() == [2]


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [0.0, 1.0, 2.0, 3.0], [[0, 1, 2, 3]]],
)
def test_permuted_refuses_what_is_no_order(order: list[object]) -> None:
    with pytest.raises(ValueError, match=r"each id in \[0, 4\) once"):
        make().permuted(np.array(order))
