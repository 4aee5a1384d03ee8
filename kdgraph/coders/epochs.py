"""EpochCount: epochs by the rows of training steps, where nobody counts them."""

import warnings

import torch
from torch import distributed

from kdgraph.compat import in_backward, transforming


class EpochCount:
    """Count N rows of training steps as an epoch, until somebody else counts.

    Compiled code and functions of ``torch.func`` cannot count. Nor are epochs counted
    where processes train together: each sees other rows, and what is due would be done
    at different steps. A warning then names what to call.

    Args:
        owner: What is due by the epoch, for the warning.

    Example:
        >>> count = EpochCount("VQCoder")
        >>> [count.begin_step(6, num_nodes=10) for _ in range(4)]
        [False, False, True, False]
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.rows = 0
        self.epoch = 0
        self.expected = False
        """Whether epochs come from elsewhere."""

    def begin_step(self, rows: int, num_nodes: int) -> bool:
        """Count the rows of a step; whether an epoch was over before it."""
        if torch.compiler.is_compiling() or transforming() or self.expected:
            return False
        if in_backward():
            # A checkpoint computes the forward pass again: the same step.
            return False
        over = self.rows >= num_nodes
        if over and distributed.is_available() and distributed.is_initialized():
            over = False
            if self.rows >= 2 * num_nodes:
                self._warn()
        if over:
            # However many rows there were, one epoch, as each may be due for something.
            self.rows %= num_nodes
            self.epoch += 1
        self.rows += rows
        return over

    def _warn(self) -> None:
        self.expected = True
        warnings.warn(
            f"{self.owner} does not count epochs where processes train together; call "
            "encoder.after_epoch(epoch) in all of them after each epoch",
            stacklevel=2,
        )
