"""Commands as processes that can be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[2]


class Running(Protocol):
    """A process."""

    def poll(self) -> int | None:
        """Its exit status, or ``None`` while it runs."""

    def kill(self) -> None:
        """End it now, without a chance to tidy up."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


Start = Callable[[list[str], Path], Running]
"""Start a command, its output appended to a file."""


class Command:
    """A command in a process group of its own, which is killed as a whole.

    Args:
        words: What follows ``python -m``.
        log: Where its output is appended to.
    """

    def __init__(self, words: list[str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *words],
                stdout=output,
                stderr=output,
                cwd=ROOT,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """Its exit status, or ``None`` while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it and what it started."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait()
