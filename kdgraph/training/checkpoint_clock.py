"""CheckpointClock: when a checkpoint is due."""

import time
from collections.abc import Callable


class CheckpointClock:
    """Due when the interval has passed, and writing stays below a tenth of the time.

    Args:
        interval: Least seconds between checkpoints; 0 for always due.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self.last >= self.interval

    def time(self, write: Callable[[], None]) -> None:
        """Write, and wait the longer the longer that took."""
        begun = time.monotonic()
        write()
        self.last = time.monotonic()
        if self.interval > 0:
            self.interval = max(self.interval, 9 * (self.last - begun))
