"""Ctrl-C and SIGTERM: held back to the end of a step, or one sentence at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgraph.atomic import replacing
from kdgraph.cli import interrupt
from kdgraph.cli.interrupt import Stopped, interrupt_between_epochs, stop_at_once
from kdgraph.training.batches import Batch
from kdgraph.training.loop import Trainer

Kdgraph = Callable[..., Any]
USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

both = pytest.mark.parametrize("number", USUAL, ids=["Ctrl-C", "SIGTERM"])


@pytest.fixture(autouse=True)
def _usual_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    if any(signal.getsignal(number) != usual for number, usual in USUAL.items()):
        pytest.skip("signals are handled by others here")
    monkeypatch.setattr(interrupt, "_ONE_REQUEST", 0.0)


def handlers() -> dict[Any, Any]:
    return {number: signal.getsignal(number) for number in USUAL}


@both
def test_first_waits_and_second_strikes(
    capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    with interrupt_between_epochs() as check:
        check()
        signal.raise_signal(number)
        again = {signal.SIGINT: "Ctrl-C again", signal.SIGTERM: "a second SIGTERM"}
        assert f"to keep it; {again[number]} stops at once" in capfd.readouterr().err
        with pytest.raises(Stopped, match=number.name):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt, match=number.name):
            check()
        check()
    assert handlers() == USUAL


def test_either_follows_the_other() -> None:
    with interrupt_between_epochs() as check:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped, match="SIGTERM"):
            check()


def test_one_request_may_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from ``timeout``, which signals the process, and then its group."""
    monkeypatch.setattr(interrupt, "_ONE_REQUEST", 60.0)
    with interrupt_between_epochs() as check:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            check()
    with stop_at_once():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


@both
def test_one_that_came_after_the_last_epoch_is_not_lost(number: int) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupt_between_epochs():  # noqa: PT012
        signal.raise_signal(number)
        reached.append(True)
    assert reached


def test_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), interrupt_between_epochs():
        raise ValueError("mine")
    assert handlers() == USUAL


@both
def test_job_in_the_background_stays_deaf(number: int) -> None:
    usual = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_at_once(), interrupt_between_epochs() as check:
            signal.raise_signal(number)
            check()
    finally:
        signal.signal(number, usual)


@both
def test_handlers_of_others_stay(number: int) -> None:
    seen: list[int] = []
    usual = signal.signal(number, lambda number, frame: seen.append(number))
    try:
        with stop_at_once(), interrupt_between_epochs() as check:
            signal.raise_signal(number)
            check()
    finally:
        signal.signal(number, usual)
    assert seen == [number]


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with stop_at_once(), interrupt_between_epochs() as check:
            check()
            seen.append(handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [USUAL]


@pytest.fixture
def third_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals], None]:
    """Send a signal in the midst of the third epoch of the next training."""

    def arrange(number: signal.Signals) -> None:
        step = Trainer._step

        def struck(self: Trainer, batch: Batch) -> float:
            if self.progress.epoch == 2:
                monkeypatch.setattr(Trainer, "_step", step)
                signal.raise_signal(number)
            return step(self, batch)

        monkeypatch.setattr(Trainer, "_step", struck)

    return arrange


@both
def test_training_without_a_folder_ends_at_once(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    third_epoch: Any,
    number: signal.Signals,
) -> None:
    third_epoch(number)
    done = kdgraph("train", "--dataset", npz, *tiny, "--quiet")
    assert done.status == 128 + number
    what = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
    assert done.sentence == f"kdgraph: error: {what}\n"
    assert handlers() == USUAL


def test_training_keeps_the_epoch(
    kdgraph: Kdgraph, npz: Path, tiny: Any, third_epoch: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--dataset", npz, *tiny, "--epochs", 5, "--quiet"]
    third_epoch(signal.SIGTERM)
    done = kdgraph(*arguments, "--save", run)
    assert (done.status, done.out) == (143, "")
    assert done.err == (
        "\nkdgraph: stopping after this step, to keep it; a second SIGTERM stops at "
        "once\nkdgraph: error: stopped by SIGTERM; the same command goes on from here\n"
    )
    assert (run / "seed-0.checkpoint.pt").exists()
    assert kdgraph(*arguments, "--save", run).status == 0


def test_preparing_keeps_what_is_sorted(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["prepare", npz, "-o", tmp_path / "g"]
    for function, hint in (
        ("data.disk.build.sorted_runs", "; the same command goes on from here"),
        ("data.disk.build.scatter", ""),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"kdgraph.{function}", _sigterm)
            done = kdgraph(*command)
        assert done.status == 143
        assert done.sentence == f"kdgraph: error: stopped by SIGTERM{hint}\n"
        kept = tmp_path / ".g.partial"
        assert kept.exists() == bool(hint)
        (kept / "state.json").unlink(missing_ok=True)
    assert kdgraph(*command).status == 0
    assert sorted(os.listdir(tmp_path)) == ["g", npz.name]


def test_exporting_leaves_nothing_behind(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, out = tmp_path / "run", tmp_path / "model.safetensors"
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--save", run]
    assert kdgraph(*arguments).status == 0

    def half(self: Any, path: Path, **_: Any) -> None:
        with replacing(path) as file:
            file.write(b"half")
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.packed.PackedEmbedding.save", half)
        done = kdgraph("export", run, "-o", out)
    assert done.status == 143
    assert done.sentence == "kdgraph: error: stopped by SIGTERM\n"
    assert sorted(os.listdir(tmp_path)) == [npz.name, "run"]
    assert kdgraph("export", run, "-o", out).status == 0


def _sigterm(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)
