"""TemperatureSchedule: cool a coder while it trains."""

from torch import Tensor
from typing_extensions import override

from kdgraph.encoder import Encoding
from kdgraph.guidance.base import Guidance
from kdgraph.guidance.schedules import Schedule
from kdgraph.strategy import Strategy


class TemperatureSchedule(Guidance):
    r"""Set the temperature of a coder's softmax by a schedule, :math:`\tau = \tau(t)`.

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

    def set_progress(self, step: int) -> None:
        """Set the coder's temperature for this step."""
        (coder,) = self._coder
        temperature = coder.temperature
        if isinstance(temperature, Tensor):
            temperature.fill_(self.schedule(step))

    @override
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Nothing: the temperature acts inside the coder."""
        return encoding
