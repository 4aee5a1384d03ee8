"""Edges drawn by their weights, in numpy."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def choose_by_weight(
    owner: Integers, weight: Floats, uniform: Floats, count: int
) -> NDArray[np.bool_]:
    r"""Which of the edges of each node are among ``count`` drawn without replacement.

    Each next edge is drawn in proportion to its weight among those that are left, as in
    the race of Efraimidis and Spirakis (2006): with u uniform, the edges of the lowest
    :math:`-\log(1 - u) / w` win. Edges of weight 0 are never drawn.

    Args:
        owner: The node of each edge, ascending, ``[E]``.
        weight: At least 0, ``[E]``.
        uniform: In ``[0, 1)``, ``[E]``.
        count: How many edges a node draws at most.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(weight > 0, -np.log1p(-uniform) / weight, np.inf)
    order = np.lexsort((time, owner))
    begins = np.searchsorted(owner, owner)
    rank = np.empty(len(owner), dtype=np.int64)
    rank[order] = np.arange(len(owner))
    return (rank - begins < count) & (weight > 0)


def choose_with_replacement(
    first: Integers, last: Integers, weight: Floats, uniform: Floats
) -> Integers:
    """An edge for each of some numbers, in proportion to weights.

    Args:
        first: Where the edges of the node of each number begin in ``weight``, ``[n]``.
        last: Where they end, ``[n]``; at least one of them has a weight.
        weight: At least 0, ``[E]``, those of a node side by side.
        uniform: In ``[0, 1)``, ``[n]``.

    Returns:
        Places in ``weight``, ``[n]``.
    """
    total = np.concatenate([[0.0], np.cumsum(weight)])
    wanted = total[first] + uniform * (total[last] - total[first])
    chosen = np.searchsorted(total, wanted, side="right") - 1
    # Rounding may lead to the end of the last edge with a weight, and past it.
    heavy = np.maximum.accumulate(np.where(weight > 0, np.arange(len(weight)), 0))
    places: Integers = heavy[np.minimum(chosen, last - 1)]
    return places
