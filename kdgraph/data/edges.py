"""From an edge list to the adjacency every room works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from kdgraph.data.graph import Adjacency


def build_adjacency(
    edge_index: NDArray[np.integer[Any]], num_nodes: int, *, directed: bool = False
) -> Adjacency:
    r"""Return the deduplicated adjacency of an edge list.

    Row :math:`v` holds the sources of the edges into :math:`v`. Repeated edges and
    repeated self-loops are kept once. Unless ``directed``, the result is
    :math:`\max(A, A^\top)`.

    Args:
        edge_index: Sources in row 0, targets in row 1.
        num_nodes: Number of nodes, N.
        directed: Keep edges one way.

    Returns:
        ``scipy.sparse.csr_array`` of float32 ones with sorted columns.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **output:** :math:`(N, N)`

    Raises:
        TypeError: If ``edge_index`` does not hold integers.
        ValueError: If the shape is wrong or an id lies outside :math:`[0, N)`.

    Example:
        >>> build_adjacency(np.array([[0, 0], [1, 1]]), 2).toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        >>> build_adjacency(np.array([[0], [1]]), 2, directed=True).toarray().tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, E] (got {list(edge_index.shape)})."
        )
    if edge_index.dtype.kind not in "iu":
        raise TypeError(f"'edge_index' must hold integers (got {edge_index.dtype}).")
    if edge_index.size and not (
        0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes
    ):
        raise ValueError(
            f"ids in 'edge_index' must lie in [0, {num_nodes}) (got "
            f"{int(edge_index.min())} to {int(edge_index.max())})."
        )
    # Columns of 32 bits wherever the union has room: scipy keeps what it is given.
    narrow = max(num_nodes, 2 * edge_index.shape[1]) < 1 << 31
    source, target = edge_index.astype(np.int32 if narrow else np.int64, copy=False)
    # Boolean entries make merging duplicates a logical or, in one byte per edge.
    ones = np.ones(source.size, dtype=np.bool_)
    adj: sparse.csr_array[Any, tuple[int, int]] = sparse.coo_array(
        (ones, (target, source)), shape=(num_nodes, num_nodes)
    ).tocsr()
    del source, target, ones
    adj.sum_duplicates()
    if not directed:
        adj = sparse.csr_array(adj + adj.T.tocsr())
    adj.sort_indices()
    return sparse.csr_array(
        (np.ones(adj.nnz, dtype=np.float32), adj.indices, adj.indptr), shape=adj.shape
    )
