"""SIGTERM while METIS runs, which takes it for a failure of its own."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kdgraph.ops.core import load_core


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Leave SIGTERM with whoever handles it, where the compiled core is there."""
    try:
        core = load_core()
    except ImportError:
        yield
        return
    kept = core.kdgraph_keep_signal(signal.SIGTERM)
    try:
        yield
    finally:
        core.kdgraph_release_signal(kept)


if sys.platform == "win32":

    def blocked_signals() -> set[int]:
        """No system of its kind."""
        return set()

    def hand_on_sigterm(blocked: set[int]) -> bool:  # noqa: ARG001
        """Nor this."""
        return False
else:

    def blocked_signals() -> set[int]:
        """The signals that this thread holds back."""
        return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def hand_on_sigterm(blocked: set[int]) -> bool:
        """Give SIGTERM to whom it was meant for, if METIS failed of it all the same.

        METIS jumps out of its handler, so that the thread goes on holding that signal
        back: SIGTERM, or SIGABRT where memory was wanting.

        Args:
            blocked: The signals that were held back before.

        Returns:
            Whether it was SIGTERM, and whoever handles it did not end this call.
        """
        trapped = set(signal.pthread_sigmask(signal.SIG_SETMASK, blocked)) - blocked
        if signal.SIGTERM not in trapped:
            return False
        signal.raise_signal(signal.SIGTERM)
        return True
