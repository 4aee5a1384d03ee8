"""Ctrl-C that waits for the end of an epoch."""

from __future__ import annotations

import signal
import threading

import pytest

from kdgraph.cli.interrupt import interrupt_between_epochs


@pytest.fixture(autouse=True)
def _usual_handler() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("Ctrl-C is handled by others here")


def test_first_waits_and_second_strikes(capfd: pytest.CaptureFixture[str]) -> None:
    with interrupt_between_epochs() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        assert "Ctrl-C again stops at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            check()
        check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_came_after_the_last_epoch_is_not_lost() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupt_between_epochs():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        reached.append(True)
    assert reached


def test_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), interrupt_between_epochs():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_job_in_the_background_stays_deaf() -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt_between_epochs() as check:
            signal.raise_signal(signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, usual)


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with interrupt_between_epochs() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
