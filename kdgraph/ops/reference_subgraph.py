"""The edges among some nodes in numpy: the specification of what the core finds."""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def induce(
    rowptr: NDArray[np.integer[Any]], col: NDArray[np.integer[Any]], nodes: Integers
) -> tuple[Integers, Integers, Integers]:
    """Row, column and edge; see :func:`kdgraph.ops.induced_subgraph`."""
    order = np.argsort(nodes, kind="stable")
    ascending = nodes[order]
    again = order[1:][ascending[1:] == ascending[:-1]]
    if again.size:
        raise_twice(int(nodes[again.min()]))
    first = rowptr[nodes].astype(np.int64)
    degree = rowptr[nodes + 1].astype(np.int64) - first
    if ((first < 0) | (degree < 0) | (first + degree > col.size)).any():
        raise_rowptr(col.size)
    target = np.repeat(np.arange(nodes.size), degree)
    start = np.cumsum(degree) - degree
    edge = np.arange(target.size) + np.repeat(first - start, degree)
    source = col[edge]
    wrong = source[(source < 0) | (source >= rowptr.size - 1)]
    if wrong.size:
        raise_source(int(wrong[0]), rowptr.size - 1)
    place = np.searchsorted(ascending, source)
    place[place == nodes.size] = 0
    inside = np.flatnonzero(ascending[place] == source) if nodes.size else place
    return order[place[inside]], target[inside], edge[inside]


def raise_twice(node: int) -> NoReturn:
    """Refuse a node that stands twice."""
    raise ValueError(
        f"induced_subgraph expects each node once, got node {node} twice; pass "
        "nodes.unique()"
    )


def raise_rowptr(edges: int) -> NoReturn:
    """Refuse row pointers."""
    raise ValueError(
        f"induced_subgraph expects rowptr to rise from 0 to the {edges} edges, got one "
        "that does not"
    )


def raise_source(source: int, nodes: int) -> NoReturn:
    """Refuse an edge."""
    raise IndexError(
        f"induced_subgraph expects sources in [0, {nodes}), got {source} in col"
    )
