"""EntropyRegularization: push the relaxed choice toward a corner."""

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.encoder import Encoding
from kdgraph.guidance.base import Guidance
from kdgraph.guidance.schedules import Schedule, as_schedule


class EntropyRegularization(Guidance):
    r"""Penalise undecided codes.

    The entropy regulariser of the KD-encoding code (Chen, Min, Sun, ICML 2018): the
    loss gets :math:`\lambda_H \, \overline{H(\pi_{v,j})}`, in nats, averaged over rows
    and positions; a substitute for annealing the temperature.

    Args:
        weight: :math:`\lambda_H`, a number or a schedule. (default: ``0.01``)

    Raises:
        TypeError: A weight that is neither.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(100, 16, num_codebooks=8, codebook_size=4)
        >>> guided = EntropyRegularization(1.0)(encoder.encode())
        >>> round(guided.penalty.item(), 1)  # undecided at first: log 4
        1.4
    """

    def __init__(self, weight: float | Schedule = 0.01) -> None:
        super().__init__()
        self.weight = as_schedule(weight)
        self._weight = self.weight(0)

    @override
    def _move(self, step: int) -> None:
        self._weight = self.weight(step)

    @override
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Add the entropy of the relaxed choice.

        Raises:
            ValueError: The coder has no relaxed choice.
        """
        selection = encoding.selection
        chances = None if selection is None else selection.probabilities()
        if chances is None:
            raise ValueError(
                "EntropyRegularization needs a coder with a relaxed choice; use "
                "SoftmaxCoder, GumbelCoder or ThresholdCoder"
            )
        if not self.training or chances.size(0) == 0:
            return encoding
        self._count()
        # The floor keeps the gradient finite where a choice has probability zero.
        floor = torch.finfo(chances.dtype).tiny
        entropy = -(chances * chances.clamp(min=floor).log()).sum(dim=-1).mean()
        penalty = encoding.penalty + self._weight * entropy
        return self._watched(Encoding(encoding.x, penalty, encoding.selection))
