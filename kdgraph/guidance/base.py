"""Guidance: what helps codes learn, and is gone afterwards."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdgraph.encoder import Encoding
from kdgraph.left_out import LeftOut
from kdgraph.optimizer_state import training_bytes


class Guidance(nn.Module):
    """A training-time companion of an encoder; never part of an artifact.

    ``guidance(encoding, n_id)`` takes what ``encoder.encode(n_id)`` gave and returns it
    with vectors changed, or with a term added to the penalty. Companions chain. A
    penalty that the loss leaves out is warned of, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left_out = LeftOut(type(self).__name__)
        self._steps: int | None = 0
        """Training steps of its own count; ``None`` once somebody else counts."""

    def reset_parameters(self) -> None:
        """Draw what is learned anew; many learn nothing."""

    def set_progress(self, step: int) -> None:
        """Move schedules to a step, counted from 0.

        Call it before every step, or before those of an epoch, if schedules go by
        epochs. Where nobody does, the companion counts its training steps itself,
        except in compiled code.
        """
        self._steps = None
        self._move(step)

    def _move(self, step: int) -> None:
        """Move schedules to a step; many have none."""

    def _count(self) -> None:
        """Begin a training step: move schedules where nobody else does."""
        # Asked first: a count would be compiled anew in every step.
        if torch.compiler.is_compiling():
            return
        if self._steps is not None:
            self._move(self._steps)
            self._steps += 1

    def _watched(self, encoding: Encoding) -> Encoding:
        """An encoding whose penalty has to be part of the loss."""
        self._left_out.watch(encoding.x, encoding.penalty)
        return encoding

    def training_bytes(self, optimizer: str | Optimizer = "adam") -> int:
        """Exact bytes held while training: weights, gradients, optimizer state.

        What is frozen, such as a trained teacher, counts once.
        """
        return training_bytes(self, optimizer)

    @abstractmethod
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Guide one step.

        Args:
            encoding: Of the ids ``n_id``, or of all nodes where that is ``None``.
            n_id: The same ids that were encoded.
        """


def mean_square(difference: Tensor) -> Tensor:
    """Mean over all elements, 0 where there are none."""
    return difference.square().sum() / max(1, difference.numel())
