"""Progress: how far a long computation is, told to whoever asks."""

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the fraction done, from 0 to 1, and the name of the stage."""


def part(progress: Progress | None, start: float, stop: float) -> Progress:
    """Progress of a stage that lies between two fractions of the whole.

    Example:
        >>> half = part(lambda done, stage: print(done, stage), 0.5, 1.0)
        >>> half(0.5, "propagate")
        0.75 propagate
    """

    def report(done: float, stage: str) -> None:
        if progress is not None:
            progress(start + (stop - start) * done, stage)

    return report
