"""The adjacency as codes read it: checked, undirected, without self-loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

if TYPE_CHECKING:
    Structure = sparse.csr_array[np.float32, tuple[int, int]]


def read_structure(adj: object, reader: str) -> Structure:
    """Check an adjacency and give it the form all structural codes read.

    Directed input is symmetrised by :math:`A + A^T`, duplicate entries are summed and
    self-loops dropped: none of them says where a node lies. What already has that form
    is not copied.

    Args:
        adj: Square ``scipy.sparse`` matrix or array, or ``torch.sparse`` CSR or COO
            tensor, of weights that are at least 0.
        reader: Who asks, for messages.

    Returns:
        A symmetric float32 ``csr_array`` in canonical form with an empty diagonal.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: A matrix that is not square, has no nodes or no edges, or holds a
            weight that is negative or not finite.

    Example:
        >>> one_way = sparse.csr_array(np.array([[1, 1], [0, 0]]))
        >>> read_structure(one_way, "spectral_codes").toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    given: Any = _from_torch(adj) if isinstance(adj, Tensor) else adj
    sparse_kind: bool = sparse.issparse(given)
    if not sparse_kind:
        raise TypeError(
            f"{reader} expects a scipy.sparse or torch.sparse adjacency, got "
            f"{type(adj).__name__}; call build_adjacency on an edge list"
        )
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise ValueError(
            f"{reader} expects a square adjacency, got shape {tuple(given.shape)}"
        )
    if given.shape[0] == 0:
        raise ValueError(f"{reader} expects a graph with nodes, got none")
    csr: sparse.csr_array[Any, tuple[int, int]] = sparse.csr_array(given)
    if csr.dtype.kind == "c":
        raise TypeError(f"{reader} expects real weights, got {csr.dtype}")
    # A sum sees any NaN or infinity, and the smallest weight any negative one.
    if csr.nnz and not (
        np.isfinite(csr.data.sum(dtype=np.float64)) and csr.data.min() >= 0
    ):
        raise ValueError(
            f"{reader} expects weights that are finite and at least 0, got "
            f"{_offender(csr.data)}"
        )
    csr = _canonical(csr)
    if csr.nnz == 0:
        raise ValueError(
            f"{reader} expects a graph with edges, got {csr.shape[0]} nodes without "
            "one between two different nodes; use random_codes"
        )
    return csr if _is_symmetric(csr) else _canonical((csr + csr.T).tocsr())


def _from_torch(adj: Tensor) -> object:
    if adj.layout not in (torch.sparse_csr, torch.sparse_coo) or adj.dim() != 2:
        return adj
    coo = adj.detach().cpu().to_sparse(layout=torch.sparse_coo).coalesce()
    row, col = coo.indices().numpy()
    return sparse.csr_array(
        (coo.values().numpy(), (row, col)), shape=(coo.size(0), coo.size(1))
    )


def _canonical(adj: sparse.csr_array[Any, tuple[int, int]]) -> Structure:
    """Float32, sorted, without duplicates, zeros and self-loops."""
    clean = adj.has_canonical_format and adj.data.min(initial=1) > 0
    if clean and not adj.diagonal().any():
        return adj if adj.dtype == np.float32 else adj.astype(np.float32)
    own = adj.astype(np.float32)  # a copy: the buffers may be the caller's
    own.sum_duplicates()
    if own.diagonal().any():
        own.setdiag(0.0)
    own.eliminate_zeros()
    return own


def _is_symmetric(adj: Structure) -> bool:
    """Whether A x = A^T x for a random x: certain if not, all but certain if so."""
    nodes = adj.shape[0]
    if not np.array_equal(
        np.bincount(adj.indices, minlength=nodes), np.diff(adj.indptr)
    ):
        return False
    x = np.random.default_rng(0).random(nodes, dtype=np.float32)
    # The transpose of a CSR is a CSC of the same buffers: nothing is copied.
    return bool(np.allclose(adj @ x, adj.T @ x, rtol=1e-4))


def _offender(data: np.ndarray[Any, Any]) -> float:
    bad = data[~(np.isfinite(data) & (data >= 0))]
    return float(bad[0]) if bad.size else float("inf")
