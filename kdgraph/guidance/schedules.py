"""Schedules: numbers that change while training."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from typing_extensions import override


class Schedule(ABC):
    """A function from the step to a value."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The value at ``step``, counted from 0."""


@dataclass(frozen=True)
class ConstantSchedule(Schedule):
    """Always the same value.

    Example:
        >>> ConstantSchedule(0.5)(1000)
        0.5
    """

    start: float

    @override
    def __call__(self, step: int) -> float:
        """``start``."""
        return self.start


@dataclass(frozen=True)
class _DecaySchedule(Schedule):
    """What the two decays share: their parameters, their checks and the bound."""

    start: float
    rate: float
    steps: int = 1
    stop: float = 1e-5
    staircase: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.steps < 1:
            raise ValueError(f"{name} expects steps of at least 1, got {self.steps}")
        if self.rate < 0 or not 0 <= self.stop <= self.start:
            raise ValueError(
                f"{name} expects rate of at least 0 and 0 <= stop <= start, got "
                f"rate={self.rate}, start={self.start} and stop={self.stop}"
            )

    def _periods(self, step: int) -> float:
        periods = step / self.steps
        return float(int(periods)) if self.staircase else periods

    def _bounded(self, value: float) -> float:
        return min(max(value, self.stop), self.start)


@dataclass(frozen=True)
class ExponentialSchedule(_DecaySchedule):
    r"""Exponential decay, :math:`\mathrm{clip}(x_0 r^{t/T}, [x_{min}, x_0])`.

    The temperature schedule ``exp`` of the KD-encoding code (ICML 2018).

    Args:
        start: :math:`x_0`.
        rate: r, the factor per period.
        steps: T, steps per period. (default: ``1``)
        stop: :math:`x_{min}`. (default: ``1e-5``)
        staircase: Decay at whole periods only. (default: ``False``)

    Raises:
        ValueError: A parameter out of range.

    Example:
        >>> ExponentialSchedule(1.0, 0.5, steps=10)(20)
        0.25
    """

    def __call__(self, step: int) -> float:
        """The value at ``step``."""
        return self._bounded(self.start * self.rate ** self._periods(step))


@dataclass(frozen=True)
class InverseTimeSchedule(_DecaySchedule):
    r"""Inverse-time decay, :math:`\mathrm{clip}(x_0 / (1 + r t / T), [x_{min}, x_0])`.

    The temperature schedule ``inv_time`` of the KD-encoding code (ICML 2018).

    Args:
        start: :math:`x_0`.
        rate: r.
        steps: T, steps per period. (default: ``1``)
        stop: :math:`x_{min}`. (default: ``1e-5``)
        staircase: Decay at whole periods only. (default: ``False``)

    Raises:
        ValueError: A parameter out of range.

    Example:
        >>> InverseTimeSchedule(1.0, 1.0, steps=10)(30)
        0.25
    """

    def __call__(self, step: int) -> float:
        """The value at ``step``."""
        return self._bounded(self.start / (1.0 + self.rate * self._periods(step)))


def as_schedule(value: float | Schedule) -> Schedule:
    """A number stands for a constant schedule.

    Raises:
        TypeError: Neither a number nor a schedule.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number or a Schedule, got {type(value).__name__}")
    return ConstantSchedule(float(value))
