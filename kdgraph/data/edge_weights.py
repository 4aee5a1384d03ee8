"""Weights of edges, put where the adjacency has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer[Any]]
WeightedEdges = tuple[Ids, NDArray[Any]]
"""Edges ``[2, m]``, sources above targets, and a weight for each."""

BLOCK = 1 << 22
_LARGEST = float(np.finfo(np.float32).max)


def check_weights(weight: NDArray[Any], num_edges: int, where: object) -> None:
    """Check weights of edges.

    Raises:
        ValueError: In one sentence that begins with ``where``: weights that are not
            ``[E]`` numbers, or one that is negative, NaN or infinite.
    """
    check_weight_header(weight.shape, weight.dtype, num_edges, where)
    wrong = ~((weight >= 0) & (weight <= _LARGEST))
    if wrong.any():
        raise ValueError(
            f"{where}: edge_weight holds {weight[wrong][0]}, but a weight is finite "
            "and at least 0; correct it, or leave weights out with --unweighted."
        )


def check_weight_header(
    shape: tuple[int, ...], dtype: np.dtype[Any], num_edges: int, where: object
) -> None:
    """The same as far as shape and type tell.

    Raises:
        ValueError: In one sentence that begins with ``where``.
    """
    if shape != (num_edges,):
        raise ValueError(
            f"{where}: edge_weight must have shape [{num_edges}], one number for each "
            f"column of edge_index (got {list(shape)}); reshape it, or leave weights "
            "out with --unweighted."
        )
    if dtype.kind not in "iuf":
        raise ValueError(
            f"{where}: edge_weight must hold numbers (got {dtype}); convert it with "
            ".astype('float32'), or leave weights out with --unweighted."
        )


def sum_weights(
    rowptr: Ids, col: Ids, edges: Iterable[WeightedEdges], sums: NDArray[np.float64]
) -> None:
    """Add the weight of every edge to the entry of the adjacency that it is.

    Args:
        rowptr: Where the row of each target begins, ``[N + 1]``.
        col: Sources, ascending in each row, ``[E]``; every edge is there.
        edges: Blocks of edges and weights.
        sums: Zeros ``[E]``, added to.
    """
    for edge_index, weight in edges:
        source, target = edge_index
        at = find_entries(rowptr, col, target, source)
        np.add.at(sums, at, weight.astype(np.float64))


def combined_weights(
    rowptr: Ids,
    col: Ids,
    sums: NDArray[np.float64],
    *,
    directed: bool,
    block: int = BLOCK,
) -> Iterator[NDArray[np.float32]]:
    r"""The weights of the entries, a block after the other.

    Unless ``directed``, an edge has the larger weight of its two directions, which is
    :math:`\max(A, A^\top)`.

    Raises:
        ValueError: If what repeated edges weigh together is no float32.
    """
    for start in range(0, col.size, block):
        stop = min(start + block, col.size)
        own = sums[start:stop]
        if not directed:
            rows = np.searchsorted(rowptr, np.arange(start, stop), side="right") - 1
            back = find_entries(rowptr, col, np.asarray(col[start:stop]), rows)
            own = np.maximum(own, sums[back])
        if own.max(initial=0.0) > _LARGEST:
            raise ValueError(
                f"edge_weight of repeated edges sums to {own.max()}, which is beyond "
                "float32; scale the weights down"
            )
        yield own.astype(np.float32)


def find_entries(rowptr: Ids, col: Ids, target: Ids, source: Ids) -> NDArray[np.int64]:
    """Where the entries of some edges are, by a binary search in their rows.

    Args:
        rowptr: Where the row of each target begins, ``[N + 1]``.
        col: Sources, ascending in each row.
        target: Of each edge, ``[m]``.
        source: Of each edge; it must be there.
    """
    low = np.asarray(rowptr[target], dtype=np.int64)
    high = np.asarray(rowptr[target + 1], dtype=np.int64) - 1
    while bool((low < high).any()):
        middle = (low + high) >> 1
        beyond = np.asarray(col[middle]) < source
        low = np.where(beyond, middle + 1, low)
        high = np.where(beyond, high, middle)
    return low
