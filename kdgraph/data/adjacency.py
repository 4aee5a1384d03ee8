"""The symmetric normalisation, and the three forms message passing takes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

if TYPE_CHECKING:
    # PyG ships no type information, so its classes are opaque to a checker.
    from torch_geometric import (  # type: ignore[import-untyped, unused-ignore]
        EdgeIndex,
    )

    from kdgraph.data.graph import Adjacency

    CSR = sparse.csr_array[Any, tuple[int, int]] | sparse.csr_matrix[Any]


def gcn_norm(adj: CSR) -> Adjacency:
    r"""Return the symmetrically normalised adjacency of a graph convolution.

    .. math::
        \hat{P} = \hat{D}^{-1/2} \hat{A} \hat{D}^{-1/2}, \qquad
        \hat{D}_{vv} = \sum_u \hat{A}_{vu},

    where :math:`\hat{A}` is :math:`A` with the missing self-loops added, so on a
    graph of ones its diagonal is one. On a directed graph both factors use the row
    sums, i.e. the in-degrees, which is what PyG computes for an ``edge_index``.
    PyG's own normalisation *adds* loops to a ``torch.sparse`` matrix that already
    has them; normalising once, here, gives every form the same numbers.

    Args:
        adj: Square adjacency with targets in rows.

    Returns:
        A new float32 ``csr_array``; an isolated node holds just its loop.

    Shapes:
        - **adj, output:** :math:`(N, N)`

    Raises:
        TypeError: If ``adj`` is not a scipy sparse matrix or array.
        ValueError: If it is not square.

    Example:
        >>> adj = sparse.csr_array(np.array([[0, 1], [1, 0]], dtype=np.float32))
        >>> gcn_norm(adj).toarray().round(3).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    adj = _canonical(adj)
    missing = (adj.diagonal() == 0).astype(np.float32)
    looped = sparse.csr_array(
        adj.astype(np.float32) + sparse.diags_array(missing, format="csr")
    )
    looped.sort_indices()
    degree = np.asarray(looped.sum(axis=1, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(degree > 0, degree**-0.5, 0.0).astype(np.float32)
    data = np.asarray(looped.data, dtype=np.float32)
    data *= scale[looped.indices]
    data *= np.repeat(scale, np.diff(looped.indptr))
    return sparse.csr_array((data, looped.indices, looped.indptr), shape=looped.shape)


def to_torch_csr(adj: CSR) -> Tensor:
    """Return the adjacency as a ``torch.sparse`` CSR tensor, PyG's ``adj_t``.

    Args:
        adj: Square adjacency with targets in rows.

    Returns:
        A tensor of layout ``torch.sparse_csr`` that shares no memory with ``adj``.

    Shapes:
        - **adj, output:** :math:`(N, N)`

    Raises:
        TypeError: If ``adj`` is not a scipy sparse matrix or array.
        ValueError: If it is not square.

    Example:
        >>> adj = sparse.csr_array(np.array([[0, 1], [0, 0]], dtype=np.float32))
        >>> (to_torch_csr(adj) @ torch.tensor([[1.0], [2.0]])).tolist()
        [[2.0], [0.0]]
    """
    adj = _canonical(adj)
    with warnings.catch_warnings():
        # The layout is announced as beta, once; the indices are checked below.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        return torch.sparse_csr_tensor(
            torch.tensor(adj.indptr, dtype=torch.int64),
            torch.tensor(adj.indices, dtype=torch.int64),
            _values(adj),
            size=(adj.shape[0], adj.shape[1]),
            check_invariants=True,
        )


def to_edge_index(adj: CSR) -> tuple[Tensor, Tensor]:
    """Return the adjacency as an edge list with sources in row 0, sorted by target.

    Args:
        adj: Square adjacency with targets in rows.

    Returns:
        ``(edge_index, edge_weight)``.

    Shapes:
        - **adj:** :math:`(N, N)`
        - **edge_index:** :math:`(2, E)` int64
        - **edge_weight:** :math:`(E)`

    Raises:
        TypeError: If ``adj`` is not a scipy sparse matrix or array.
        ValueError: If it is not square.

    Example:
        >>> adj = sparse.csr_array(np.array([[0, 1], [0, 0]], dtype=np.float32))
        >>> to_edge_index(adj)
        (tensor([[1],
                [0]]), tensor([1.]))
    """
    adj = _canonical(adj)
    edge_index = torch.empty((2, adj.nnz), dtype=torch.int64)
    edge_index[0] = torch.from_numpy(np.array(adj.indices))
    edge_index[1] = torch.repeat_interleave(
        torch.arange(adj.shape[0]), torch.from_numpy(np.diff(adj.indptr))
    )
    return edge_index, _values(adj)


def to_pyg_edge_index(adj: CSR) -> tuple[EdgeIndex, Tensor]:
    """Return the adjacency as a PyG ``EdgeIndex``, sorted by target.

    Args:
        adj: Square adjacency with targets in rows.

    Returns:
        ``(edge_index, edge_weight)``; the first knows its size and sort order, so
        PyG need not find them again.

    Shapes:
        - **adj:** :math:`(N, N)`
        - **edge_index:** :math:`(2, E)` int64
        - **edge_weight:** :math:`(E)`

    Raises:
        TypeError: If ``adj`` is not a scipy sparse matrix or array.
        ValueError: If it is not square.

    Example:
        >>> adj = sparse.csr_array(np.array([[0, 1], [0, 0]], dtype=np.float32))
        >>> to_pyg_edge_index(adj)[0].is_sorted_by_col
        True
    """
    from torch_geometric import EdgeIndex

    edge_index, edge_weight = to_edge_index(adj)
    size = (adj.shape[0], adj.shape[1])
    index = EdgeIndex(edge_index, sparse_size=size, sort_order="col")
    return index.validate(), edge_weight


def _canonical(adj: CSR) -> sparse.csr_array[Any, tuple[int, int]]:
    if not sparse.issparse(adj):
        raise TypeError(
            f"expected a scipy.sparse adjacency (got {type(adj).__name__}); call "
            "'build_adjacency' on an edge list."
        )
    if adj.ndim != 2 or adj.shape[0] != adj.shape[1]:
        raise ValueError(f"expected a square adjacency (got shape {adj.shape}).")
    csr: sparse.csr_array[Any, tuple[int, int]] = sparse.csr_array(adj)
    if not csr.has_canonical_format:
        csr = csr.copy()  # the buffers may be the caller's
        csr.sum_duplicates()
    return csr


def _values(adj: sparse.csr_array[Any, tuple[int, int]]) -> Tensor:
    keep = adj.dtype in (np.float32, np.float64)
    return torch.from_numpy(np.array(adj.data, dtype=None if keep else np.float32))
