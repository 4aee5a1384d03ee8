"""Ctrl-C that waits for the end of an epoch, so that nothing of it is lost."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NOTICE = (
    b"\nkdgraph: stopping after this epoch, to keep it; Ctrl-C again stops at once\n"
)


@contextmanager
def interrupt_between_epochs() -> Iterator[Callable[[], None]]:
    """Hold the first Ctrl-C back; the second one strikes as usual.

    Yields:
        What to call between epochs: it raises ``KeyboardInterrupt`` if one is due.
    """
    due = False
    usual = signal.getsignal(signal.SIGINT)
    # Leave others' handlers alone, and a job that was told to ignore the signal.
    ours = (
        usual is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    )

    def hold_back(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal due
        due = True
        signal.signal(signal.SIGINT, usual)
        # Not print, which must not be entered twice.
        os.write(2, _NOTICE)

    def check() -> None:
        nonlocal due
        if due:
            due = False
            raise KeyboardInterrupt

    if ours:
        signal.signal(signal.SIGINT, hold_back)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)
    check()
