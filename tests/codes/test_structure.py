"""What structural codes read, and what they refuse."""

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes.structure import read_structure

DENSE = np.array([[0, 2, 0], [2, 0, 1], [0, 1, 0]], dtype=np.float32)


def test_a_clean_adjacency_is_not_copied() -> None:
    adj = sparse.csr_array(DENSE)
    assert np.shares_memory(read_structure(adj, "reader").data, adj.data)


@pytest.mark.parametrize("loops", [0.0, 3.0])
def test_directed_input_duplicates_and_loops(loops: float) -> None:
    row, col, weight = [0, 0, 1, 2], [1, 1, 2, 2], [1.0, 1.0, 1.0, loops]
    adj = sparse.coo_array((weight, (row, col)), shape=(3, 3)).tocsr()
    data = adj.data.copy()
    assert np.array_equal(read_structure(adj, "reader").toarray(), DENSE)
    assert np.array_equal(adj.data, data)


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_torch_adjacency(layout: torch.layout) -> None:
    adj = torch.from_numpy(DENSE).to_sparse(layout=layout)
    assert np.array_equal(read_structure(adj, "reader").toarray(), DENSE)


def test_equal_degrees_do_not_hide_a_direction() -> None:
    ring = sparse.csr_array(np.roll(np.eye(5), 1, axis=1))
    read = read_structure(ring, "reader").toarray()
    assert np.array_equal(read, read.T)
    assert read.sum() == 10


@pytest.mark.parametrize(
    ("adj", "error", "says"),
    [
        (np.eye(3), TypeError, "build_adjacency"),
        (torch.eye(3), TypeError, "sparse"),
        (sparse.csr_array((2, 3)), ValueError, r"square adjacency, got shape \(2, 3\)"),
        (sparse.csr_array((0, 0)), ValueError, "a graph with nodes"),
        (sparse.csr_array((3, 3)), ValueError, "a graph with edges"),
        (sparse.csr_array(np.eye(3)), ValueError, "between two different nodes"),
        (
            sparse.csr_array(DENSE * np.nan),
            ValueError,
            "finite and at least 0, got nan",
        ),
        (sparse.csr_array(np.full((2, 2), np.inf)), ValueError, "at least 0, got inf"),
        (sparse.csr_array(-DENSE), ValueError, "at least 0, got -2"),
        (sparse.csr_array(DENSE * 1j), TypeError, "real weights"),
    ],
)
def test_refused(adj: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught, np.errstate(invalid="ignore"):
        read_structure(adj, "my_codes")
    assert str(caught.value).startswith("my_codes expects")
