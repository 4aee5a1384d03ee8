"""Commands as processes that can be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
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
    """A command that is killed together with all that it started.

    Args:
        words: What follows ``python -m``.
        log: Where its output is appended to.
    """

    def __init__(self, words: list[str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *words], stdout=output, stderr=output, cwd=ROOT
            )

    def poll(self) -> int | None:
        """Its exit status, or ``None`` while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it and what it started, in whatever session, and see them gone."""
        family = _family(self._process.pid)
        for number in family:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        while any(_is_alive(number) for number in family):
            time.sleep(0.001)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait()


def _family(number: int) -> list[int]:
    """A process and its descendants, where the system tells them."""
    found = [number]
    for children in Path(f"/proc/{number}/task").glob("*/children"):
        # A thread may have ended since.
        with suppress(OSError):
            for child in children.read_text().split():
                found += _family(int(child))
    return found


def _is_alive(number: int) -> bool:
    """Whether a process still holds its files; one that nobody has buried does not."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
