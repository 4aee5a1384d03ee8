"""Guidance: what helps codes learn, and is gone afterwards."""

from abc import abstractmethod

from torch import Tensor, nn
from torch.optim import Optimizer

from kdgraph.encoder import Encoding
from kdgraph.optimizer_state import training_bytes


class Guidance(nn.Module):
    """A training-time companion of an encoder; never part of an artifact.

    ``guidance(encoding, n_id)`` takes what ``encoder.encode(n_id)`` gave and returns it
    with vectors changed, or with a term added to the penalty. Companions chain.
    """

    def reset_parameters(self) -> None:
        """Draw what is learned anew; many learn nothing."""

    def set_progress(self, step: int) -> None:
        """Tell the step to what follows a schedule; called once before every step."""

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
