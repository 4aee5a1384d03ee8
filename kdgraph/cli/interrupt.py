"""Told to stop, by Ctrl-C or SIGTERM: at once, or where nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
_AGAIN = {signal.SIGINT: "Ctrl-C again", signal.SIGTERM: "a second SIGTERM"}
_ONE_REQUEST = 0.2
"""Seconds in which SIGTERM counts once: ``timeout`` sends it twice in a row."""


class Stopped(KeyboardInterrupt):
    """A signal told the command to stop; whoever tidies up for Ctrl-C does so for it.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)
        super().__init__(self.number.name)


@contextmanager
def stop_at_once() -> Iterator[None]:
    """Raise :class:`Stopped` on SIGTERM, as Python does by itself on Ctrl-C."""
    with _handled([signal.SIGTERM], _Handler(_strike)):
        yield


@contextmanager
def interrupt_between_epochs() -> Iterator[Callable[[], None]]:
    """Hold the first Ctrl-C or SIGTERM back; the second one strikes at once.

    Yields:
        What to call between epochs, or steps: it raises :class:`Stopped` if one is due.
    """
    due: Stopped | None = None

    def hold_back(number: int) -> None:
        nonlocal due
        due = Stopped(number)
        # Not print, which must not be entered twice.
        os.write(
            2,
            b"\nkdgraph: stopping after this step, to keep it; "
            b"%s stops at once\n" % _AGAIN[due.number].encode(),
        )

    def check() -> None:
        nonlocal due
        if due is not None:
            stopped, due = due, None
            raise stopped

    with _handled(list(_USUAL), _Handler(hold_back)):
        yield check
    check()


class _Handler:
    """Does one thing on the first signal, and strikes on those that follow."""

    def __init__(self, first: Callable[[int], None]) -> None:
        self._first = first
        self._last: float | None = None

    def __call__(self, number: int, frame: Any) -> None:  # noqa: ARG002
        now, last = time.monotonic(), self._last
        self._last = now
        if last is None:
            self._first(number)
        elif number != signal.SIGTERM or now - last > _ONE_REQUEST:
            _strike(number)


def _strike(number: int) -> None:
    raise Stopped(number)


@contextmanager
def _handled(numbers: list[signal.Signals], handler: _Handler) -> Iterator[None]:
    """Handle signals, but where others do, or the job was told to ignore them."""
    before: dict[signal.Signals, Any] = {}
    # Only there may handlers be set, and only there do they run.
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
    ours = {
        number: usual
        for number, usual in before.items()
        if usual is _USUAL[number] or isinstance(usual, _Handler)
    }
    try:
        for number in ours:
            signal.signal(number, handler)
        yield
    finally:
        for number, usual in ours.items():
            signal.signal(number, usual)
