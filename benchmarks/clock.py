"""Clock: what is told of progress, as seconds per stage and a line on a terminal."""

import sys
import time


class Clock:
    """Seconds per stage, and a line of progress on a terminal.

    Args:
        quiet: Say nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.begun = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, done: float, stage: str) -> None:
        """Take note of the fraction done, from 0 to 1, and of what is being done."""
        now = time.perf_counter()
        # The time since the last report belongs to the stage that reports now.
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now
        if not self.quiet:
            print(f"\r{done:6.1%} {now - self.begun:6.0f} s  {stage:16}", end="")
            sys.stdout.flush()
