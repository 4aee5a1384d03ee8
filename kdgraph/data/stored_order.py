"""StoredOrder: the clusters in whose order a graph was stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class StoredOrder:
    """A hierarchical partition in whose order the nodes of a graph are stored.

    The ids of such a graph are places in the order, so that they imply clusters, and
    codes ``order:...`` and ``place:...`` need no map.

    Args:
        branching: Children per cluster on each level.
        boundaries: First id of each leaf cluster, then the number of nodes.
        original_ids: The id that each node had before, ``[N]``.

    Raises:
        ValueError: Boundaries that are not as many as there are leaves and one, or
            original ids of another number of nodes.

    Example:
        >>> order = StoredOrder((2, 2), np.array([0, 1, 2, 3, 5]), np.arange(5))
        >>> str(order), order.boundaries_of((2,)).tolist(), order.boundaries_of((3,))
        ('tree:2x2', [0, 2, 5], None)
    """

    branching: tuple[int, ...]
    boundaries: NDArray[Any]
    original_ids: NDArray[Any]

    def __post_init__(self) -> None:
        leaves = math.prod(self.branching)
        if self.boundaries.shape != (leaves + 1,):
            raise ValueError(
                f"'StoredOrder' expects {leaves + 1} boundaries for {leaves} leaves "
                f"(got shape {list(self.boundaries.shape)})."
            )
        if self.original_ids.shape != (int(self.boundaries[-1]),):
            raise ValueError(
                f"'StoredOrder' expects original ids of {int(self.boundaries[-1])} "
                f"nodes (got shape {list(self.original_ids.shape)})."
            )

    def boundaries_of(self, branching: Sequence[int]) -> NDArray[Any] | None:
        """First id of each cluster on some level, then the number of nodes.

        Args:
            branching: Children per cluster, down to that level.

        Returns:
            ``None`` where the order has no such levels.
        """
        levels = tuple(branching)
        if levels != self.branching[: len(levels)]:
            return None
        return np.asarray(self.boundaries[:: math.prod(self.branching[len(levels) :])])

    def __str__(self) -> str:
        """As a recipe of codes names the same clusters."""
        return f"tree:{'x'.join(map(str, self.branching))}"
