"""TemperatureSchedule: cool a coder while it trains."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.encoder import Encoding
from kdgraph.guidance.base import Guidance
from kdgraph.guidance.schedules import Schedule
from kdgraph.strategy import Strategy


class TemperatureSchedule(Guidance):
    r"""Set the temperature of a coder's softmax by a schedule, :math:`\tau = \tau(t)`.

    The coder's training steps are counted where nobody calls ``set_progress``, and
    nothing else has to be called.

    Args:
        coder: A coder with a temperature; referred to, not owned.
        schedule: The temperature by step.

    Raises:
        ValueError: The coder has no temperature.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> from kdgraph.guidance import ExponentialSchedule
        >>> encoder = KDEmbedding(100, 16, num_codebooks=8, codebook_size=4)
        >>> cooling = TemperatureSchedule(encoder.coder, ExponentialSchedule(1.0, 0.5))
        >>> cooling.set_progress(2)
        >>> float(encoder.coder.temperature)
        0.25
    """

    def __init__(self, coder: Strategy, schedule: Schedule) -> None:
        super().__init__()
        temperature = getattr(coder, "temperature", None)
        if not isinstance(temperature, Tensor):
            raise ValueError(
                f"{type(coder).__name__} has no temperature; use SoftmaxCoder, "
                "GumbelCoder or ThresholdCoder"
            )
        self.schedule = schedule
        # In a tuple, so that the coder is not registered here as well.
        self._coder = (coder,)
        coder.register_forward_pre_hook(self._before_choosing)

    def _before_choosing(self, coder: nn.Module, args: object) -> None:  # noqa: ARG002
        """Count the training steps of the coder, which needs no call of this."""
        if coder.training and torch.is_grad_enabled():
            self._count()

    @override
    def _move(self, step: int) -> None:
        (coder,) = self._coder
        temperature = coder.temperature
        if isinstance(temperature, Tensor):
            temperature.fill_(self.schedule(step))

    @override
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Nothing: the temperature acts inside the coder."""
        return encoding
