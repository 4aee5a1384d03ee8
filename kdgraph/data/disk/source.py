"""EdgeSource: an edge list that is read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdgraph.data.disk.layout import MAX_NODES
from kdgraph.data.edge_weights import WeightedEdges

Block = tuple[NDArray[np.int64], float]
"""Edges [2, m], sources above targets, and the fraction of the input read by then."""


@dataclass(frozen=True)
class SourceOrder:
    """The order that an edge list was put into.

    Args:
        recipe: Its clusters, such as ``tree:16x16``.
        arrays: What is kept of it, by name.
    """

    recipe: str
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class EdgeSource:
    """An edge list, looked at but not read.

    Args:
        files: What it is read from, edges first.
        blocks: Called with the number of edges wanted at a time and the number of
            nodes; yields blocks whose ids it has checked.
        num_nodes: N, or None where only the edges can tell.
        num_edges: Edges announced, or None.
        labels: Returns ``y`` and the splits by name, or nothing.
        notes: What a reader of results should know.
        both_ways: Whether every edge is meant both ways, whatever is asked for.
        weights: Called as ``blocks`` is; yields the same edges with a weight for each.
            ``None`` where they have none.
        order: The order that its nodes were put into, or None.
    """

    files: tuple[Path, ...]
    blocks: Callable[[int, int], Iterator[Block]]
    num_nodes: int | None = None
    num_edges: int | None = None
    labels: Callable[[], Mapping[str, NDArray[Any]]] = dict
    notes: tuple[str, ...] = ()
    both_ways: bool = False
    weights: Callable[[int, int], Iterator[WeightedEdges]] | None = None
    order: SourceOrder | None = None


def settle_num_nodes(stored: int | None, given: int | None, where: Path) -> int | None:
    """Return the number of nodes that the input holds or the user gives.

    Raises:
        ValueError: If they differ, or it is out of range.
    """
    if given is not None and stored is not None and given != stored:
        raise ValueError(
            f"{where}: num_nodes is {stored} there, but {given} was asked for; leave "
            "num_nodes out."
        )
    number = stored if given is None else given
    if number is not None and not 0 < number <= MAX_NODES:
        raise ValueError(
            f"{where}: num_nodes must lie between 1 and {MAX_NODES} (got {number}); "
            "correct it, or number the nodes without gaps."
        )
    return number
