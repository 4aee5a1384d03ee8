from __future__ import annotations

import numpy as np
import pytest

from kdgraph.data import build_adjacency


def naive(edge_index: np.ndarray, num_nodes: int, directed: bool) -> np.ndarray:
    dense = np.zeros((num_nodes, num_nodes), dtype=np.float32)
    for source, target in edge_index.T.tolist():
        dense[target, source] = 1
        if not directed:
            dense[source, target] = 1
    return dense


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "u8"])
def test_equals_a_loop(
    edge_list: tuple[np.ndarray, int], directed: bool, dtype: str
) -> None:
    edge_index, num_nodes = edge_list
    adj = build_adjacency(edge_index.astype(dtype), num_nodes, directed=directed)
    np.testing.assert_array_equal(adj.toarray(), naive(edge_index, num_nodes, directed))
    assert adj.dtype == np.float32
    assert adj.indices.dtype == adj.indptr.dtype == np.int32
    assert adj.has_canonical_format
    assert set(adj.data.tolist()) == {1.0}


@pytest.mark.parametrize("copies", [256, 512])
def test_many_copies_of_an_edge_are_one(copies: int) -> None:
    edge_index = np.repeat(np.array([[0], [1]]), copies, axis=1)
    assert build_adjacency(edge_index, 2).toarray().tolist() == [[0, 1], [1, 0]]


def test_no_edges() -> None:
    adj = build_adjacency(np.zeros((2, 0), dtype=np.int64), 3)
    assert (adj.shape, adj.nnz) == ((3, 3), 0)


def test_input_is_untouched(edge_list: tuple[np.ndarray, int]) -> None:
    edge_index = edge_list[0].astype(np.int32)
    before = edge_index.copy()
    build_adjacency(edge_index, edge_list[1])
    np.testing.assert_array_equal(edge_index, before)


@pytest.mark.parametrize(
    ("edge_index", "error"),
    [
        (np.zeros((3, 2), dtype=int), ValueError),
        (np.zeros(4, dtype=int), ValueError),
        (np.array([[0], [3]]), ValueError),
        (np.array([[-1], [0]]), ValueError),
        (np.array([[0.0], [1.0]]), TypeError),
    ],
)
def test_errors(edge_index: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error, match="edge_index"):
        build_adjacency(edge_index, 3)
