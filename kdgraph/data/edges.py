"""From an edge list to the adjacency every room works on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kdgraph.data.edge_weights import (
    BLOCK,
    WeightedEdges,
    check_weights,
    combined_weights,
    sum_weights,
)

if TYPE_CHECKING:
    from kdgraph.data.graph import Adjacency


def build_adjacency(
    edge_index: NDArray[np.integer[Any]],
    num_nodes: int,
    *,
    directed: bool = False,
    edge_weight: NDArray[Any] | None = None,
) -> Adjacency:
    r"""Return the deduplicated adjacency of an edge list.

    Row :math:`v` holds the sources of the edges into :math:`v`. Repeated edges and
    repeated self-loops are kept once, and their weights are summed, as
    :func:`torch_geometric.utils.coalesce` does. Unless ``directed``, the result is
    :math:`\max(A, A^\top)`: an edge that is listed both ways keeps its weight, where
    :func:`torch_geometric.utils.to_undirected` would double it. An edge of weight 0
    stays an edge.

    Args:
        edge_index: Sources in row 0, targets in row 1.
        num_nodes: Number of nodes, N.
        directed: Keep edges one way.
        edge_weight: A weight of at least 0 for each edge. (default: ones, also of edges
            that are repeated)

    Returns:
        ``scipy.sparse.csr_array`` of float32 ones, or weights, with sorted columns.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E)`
        - **output:** :math:`(N, N)`

    Raises:
        TypeError: If ``edge_index`` does not hold integers.
        ValueError: If a shape is wrong, an id lies outside :math:`[0, N)`, or a weight
            is negative or not finite.

    Example:
        >>> build_adjacency(np.array([[0, 0], [1, 1]]), 2).toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        >>> build_adjacency(np.array([[0], [1]]), 2, directed=True).toarray().tolist()
        [[0.0, 0.0], [1.0, 0.0]]
        >>> edges, weights = np.array([[0, 0, 1], [1, 1, 0]]), np.array([0.5, 1.0, 9.0])
        >>> build_adjacency(edges, 2, edge_weight=weights).toarray().tolist()
        [[0.0, 9.0], [9.0, 0.0]]
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
    if edge_weight is not None:
        check_weights(edge_weight, edge_index.shape[1], "'build_adjacency'")
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
    data = np.ones(adj.nnz, dtype=np.float32)
    if edge_weight is not None:
        sums = np.zeros(adj.nnz)
        sum_weights(adj.indptr, adj.indices, _blocks(edge_index, edge_weight), sums)
        blocks = combined_weights(adj.indptr, adj.indices, sums, directed=directed)
        for number, block in enumerate(blocks):
            data[number * BLOCK :][: block.size] = block
    return sparse.csr_array((data, adj.indices, adj.indptr), shape=adj.shape)


def _blocks(
    edge_index: NDArray[np.integer[Any]], edge_weight: NDArray[Any]
) -> Iterator[WeightedEdges]:
    for start in range(0, edge_weight.size, BLOCK):
        part = slice(start, start + BLOCK)
        yield edge_index[:, part].astype(np.int64), edge_weight[part]
