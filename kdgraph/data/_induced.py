"""The edges among the nodes of a batch."""

import torch
from torch import Tensor

from kdgraph.ops import Pattern, induced_subgraph


def induced_edges(pattern: Pattern, node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All edges among some nodes, which are numbered by their place.

    A node that stands twice, as a seed may, receives its edges at both places, and
    sends from the first.

    Args:
        pattern: The graph.
        node: ``[B]``.

    Returns:
        Places of sources and of targets, and which edge each is.
    """
    unique, inverse = torch.unique(node, return_inverse=True)
    place = torch.arange(node.numel())
    first = place.new_full((unique.numel(),), node.numel())
    first = first.scatter_reduce(0, inverse, place, "amin")
    found = induced_subgraph(pattern.rowptr, pattern.col, unique)
    if unique.numel() == node.numel():
        return first[found.row], first[found.col], found.edge
    # Edges come target by target: those of a target stand side by side.
    count = torch.bincount(found.col, minlength=unique.numel())
    begin = count.cumsum(0) - count
    copies = count[inverse]
    target = place.repeat_interleave(copies)
    within = torch.arange(target.numel()) - (copies.cumsum(0) - copies)[target]
    edge = begin[inverse][target] + within
    return first[found.row[edge]], target, found.edge[edge]
