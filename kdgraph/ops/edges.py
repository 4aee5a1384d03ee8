"""Edges: who sends to whom, target by target, and how much it counts."""

from typing import NamedTuple

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

    def share(self, targets: slice) -> Tensor | None:
        """What the sums of some targets are multiplied with, ``[T, 1]``.

        ``None`` where sums are no means.
        """
        if self.rowptr is None or not self.mean:
            return None
        counts = self.rowptr[targets.start : targets.stop + 1].diff()
        return 1.0 / counts.clamp(min=1).double().unsqueeze(1)
