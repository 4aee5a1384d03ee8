"""Edges: who sends to whom, target by target, and how much it counts."""

from typing import NamedTuple

import torch
from torch import Tensor


class Edges(NamedTuple):
    """The edges that an operation over codes sums along.

    Args:
        rowptr: Where the edges of each target begin, and the last end, ``[M + 1]``;
            ``None`` for one edge per target.
        col: The source of each edge, ``[E]``; ``None`` for 0 to E - 1.
        weight: ``[E]``; ``None`` for ones.
        mean: Whether sums are divided by the number of edges.
    """

    rowptr: Tensor | None
    col: Tensor | None
    weight: Tensor | None = None
    mean: bool = False

    def count(self, num_nodes: int) -> int:
        """Number of edges E, of ``num_nodes`` where each is its own source."""
        return num_nodes if self.col is None else self.col.numel()

    def targets(self, num_nodes: int) -> int:
        """Number of targets M."""
        if self.rowptr is not None:
            return self.rowptr.numel() - 1
        return self.count(num_nodes)

    def part(
        self, start: int, stop: int, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Source, target and weight of the edges from ``start`` to ``stop``.

        The weight is ``None`` where all are one; that of a mean is divided already.
        """
        edges = torch.arange(start, stop, device=device)
        source = edges if self.col is None else self.col[start:stop].long()
        weight = None if self.weight is None else self.weight[start:stop]
        if self.rowptr is None:
            return source, edges, weight
        rowptr = self.rowptr.long()
        target = torch.searchsorted(rowptr, edges, right=True) - 1
        if self.mean:
            share = 1.0 / (rowptr[target + 1] - rowptr[target]).double()
            weight = share if weight is None else weight * share
        return source, target, weight
