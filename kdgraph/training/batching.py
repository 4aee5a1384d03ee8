"""Batching: how an epoch is cut into steps, and how nodes are scored."""

from abc import ABC, abstractmethod

from torch import Tensor

from kdgraph.encoder import Encoder
from kdgraph.training.batches import Batch


class Batching(ABC):
    """A way through a graph, for :class:`kdgraph.training.Trainer`."""

    all_at_once: bool
    """Whether scores of all nodes cost as much as those of some."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of an epoch."""

    @abstractmethod
    def batch(self, epoch: int, step: int) -> Batch:
        """What a step learns from; called right before it."""

    @abstractmethod
    def end_epoch(self, epoch: int) -> None:
        """Called after the steps of an epoch, before coders do what is due then."""

    @abstractmethod
    def scores(
        self, rows: Tensor | None = None, encoder: Encoder | None = None
    ) -> Tensor:
        """Class scores ``[B, T]``, in evaluation mode.

        Args:
            rows: The nodes; ``None`` for all. (default: ``None``)
            encoder: In the place of the model's. (default: the model's)
        """
