"""Killed at any moment, gone on with, and the same to the last bit."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.kill.compare import differences, without_measurements
from kdgraph.training.checkpoint import load_checkpoint
from kdgraph.training.run_dir import RunDir
from kdgraph.training.seed_run import SeedRun

Kdgraph = Callable[..., Any]
OPTIONS = {
    "gumbel": ("--coder", "gumbel"),
    "vq": ("--coder", "vq", "--composer", "sum"),
    "online": ("--guidance", "online", "--code-dropout", "0.2"),
    "pretrained": ("--guidance", "pretrained"),
    "gat": ("--model", "gat", "--coder", "fixed"),
    "full": ("--method", "full", "--model", "sage"),
}


STOPS = {"early": (0, 2), "late": (0, 11), "next seed": (1, 4), "teacher": (0, 5)}


@pytest.mark.parametrize(
    ("name", "where"),
    [(name, where) for name in OPTIONS for where in ("early", "late", "next seed")]
    + [("pretrained", "teacher")],
)
def test_interrupted_run_goes_on_bit_for_bit(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    tmp_path: Path,
    strict_json: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    where: str,
) -> None:
    # 12 epochs: the restarts of vq, after the tenth, are among them.
    arguments = ["--dataset", npz, *tiny, "--epochs", 12, "--seeds", 2, *OPTIONS[name]]
    arguments = ["train", *arguments, "--quiet", "--json"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert kdgraph(*arguments, tmp_path / "1.json", "--save", whole).status == 0

    train = SeedRun._train

    def interrupted(self: SeedRun, trainer: Any, stage: str, saved: Any) -> None:
        def on_epoch(trainer: Any) -> None:
            here = (self.seed, trainer.progress.epoch)
            if here == STOPS[where] and (stage == "teacher") == (where == "teacher"):
                self._save(trainer, stage)
                raise KeyboardInterrupt

        run = trainer.run
        monkeypatch.setattr(
            trainer,
            "run",
            lambda after, step: run(lambda t: (after(t), on_epoch(t)), step),
        )
        train(self, trainer, stage, saved)

    with monkeypatch.context() as patch:
        patch.setattr(SeedRun, "_train", interrupted)
        done = kdgraph(*arguments, tmp_path / "2.json", "--save", broken)
    assert done.status == 130
    assert "the same command goes on" in done.err
    assert not (tmp_path / "2.json").exists()
    torch.manual_seed(99)
    assert kdgraph(*arguments, tmp_path / "2.json", "--save", broken).status == 0
    assert not differences(whole, broken)
    results = [
        without_measurements(strict_json(tmp_path / f"{n}.json")) for n in (1, 2)
    ]
    assert results[0] == results[1]


MINI = {
    "gumbel": ("--coder", "gumbel"),
    "full": ("--method", "full", "--model", "sage"),
    # Epochs 3, 5 and 7 re-assign codes.
    "refined": ("--coder", "refined", "--composer", "sum", "--refine-every", 10),
    "two stages": ("--coder", "fixed", "--guidance", "diffusion"),
    "clusters": (
        *("--coder", "fixed", "--codes", "tree:4x2", "--batching", "cluster"),
        *("--batch-size", 15),
    ),
}


@pytest.mark.parametrize("name", MINI)
def test_run_in_mini_batches_goes_on_bit_for_bit(
    kdgraph: Kdgraph,
    npz: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Interrupted at every fifth moment between steps, of which an epoch has three."""
    arguments = ["train", "--dataset", npz, "--epochs", 6, "--dim", 8, "--quiet"]
    arguments += ["--hidden-dim", 8, *MINI[name]]
    if name != "clusters":
        arguments += ["--batch-size", 5, "--fanout", "3,2"]
        arguments += ["--num-codebooks", 4, "--codebook-size", 3]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert kdgraph(*arguments, "--save", whole).status == 0

    pause, moments = SeedRun._pause, itertools.count(1)

    def impatient(self: SeedRun, trainer: Any, stage: str, tell: Any) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        due = next(moments) % 5 == 0
        pause(self, trainer, stage, interrupt if due else tell)

    monkeypatch.setattr(SeedRun, "_pause", impatient)
    places = []
    while (done := kdgraph(*arguments, "--save", broken)).status == 130:
        assert "the same command goes on from here" in done.err
        (path,) = broken.glob("*.checkpoint.pt")
        state = load_checkpoint(path)
        assert state is not None
        progress = state["trainer"]["progress"]
        places.append((progress["epoch"], progress["step"]))
        torch.manual_seed(99)
    assert done.status == 0, done.err
    # At the end of an epoch and in the middle.
    assert len(places) == (7 if name == "two stages" else 3)
    assert {step > 0 for _, step in places} == {True, False}
    if name == "refined":
        assert (3, 1) in places
    assert not differences(whole, broken)


@pytest.mark.parametrize("moment", ["artifact", "result", "removal"])
def test_killed_while_finishing(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Between the last epoch and the removal of the checkpoint."""
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--seeds", 2]
    arguments += ["--checkpoint-seconds", 0, "--save"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert kdgraph(*arguments, whole).status == 0
    target, function = {
        "artifact": ("kdgraph.training.seed_run", "save_classifier"),
        "result": ("kdgraph.training.run_dir", "write_json"),
        "removal": ("pathlib.Path", "unlink"),
    }[moment]

    def die(*given: Any, **options: Any) -> None:
        if moment == "result" and "seed-" not in given[0].name:
            given[0].write_text(__import__("json").dumps(given[1], indent=2) + "\n")
        elif moment != "removal" or given[0].name == "seed-0.checkpoint.pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{target}.{function}", die)
        assert kdgraph(*arguments, broken).status == 130
    assert (broken / "seed-0.checkpoint.pt").exists()
    (broken / ".seed-0.checkpoint.pt.tmp").write_bytes(b"half of it")
    (broken / ".kdgraph-0123456789abcdef.tmp").write_bytes(b"half of it")
    assert kdgraph(*arguments, broken).status == 0
    assert not differences(whole, broken)


def test_more_seeds_are_added(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path, strict_json: Any
) -> None:
    arguments = ["train", "--dataset", npz, *tiny, "--quiet"]
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    assert kdgraph(*arguments, "--seeds", 3, "--save", whole).status == 0
    assert kdgraph(*arguments, "--seeds", 2, "--save", grown).status == 0
    kept = (grown / "seed-1.json").stat().st_mtime_ns
    assert kdgraph(*arguments, "--seeds", 3, "--save", grown).status == 0
    assert (grown / "seed-1.json").stat().st_mtime_ns == kept
    assert not differences(whole, grown)
    done = kdgraph(*arguments, "--seeds", 1, "--save", grown)
    assert done.status == 0
    assert "±" not in done.out


def test_another_run_is_refused(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path, save_graph: Any
) -> None:
    run = tmp_path / "run"
    arguments = ["train", *tiny, "--quiet", "--save", run, "--dataset"]
    assert kdgraph(*arguments, npz).status == 0
    done = kdgraph(*arguments, npz, "--epochs", 4, "--lr", 0.5)
    assert done.status == 2
    assert "config.epochs: 3 there, 4 here; config.lr: 0.01 there, 0.5" in done.sentence
    other = save_graph(tmp_path / "other" / "rings.npz", edge_index=[[0], [1]])
    done = kdgraph(*arguments, other)
    assert done.status == 2
    assert "graph.fingerprint" in done.sentence
    assert kdgraph(*arguments, npz).status == 0


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "text"])
def test_damaged_checkpoint_is_a_sentence(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path, damage: str
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--save", run]
    assert kdgraph(*arguments, "--checkpoint-seconds", 0).status == 0
    (run / "seed-0.json").unlink()
    good = _checkpoint_of(kdgraph, arguments, run)
    damaged = {
        "cut": good[: len(good) // 2],
        "empty": b"",
        "flip": good[:2000] + bytes([good[2000] ^ 16]) + good[2001:],
        "text": b"hello",
    }[damage]
    (run / "seed-0.checkpoint.pt").write_bytes(damaged)
    done = kdgraph(*arguments)
    assert done.status == 2
    assert "seed-0.checkpoint.pt is truncated or damaged; remove it" in done.sentence
    (run / "seed-0.checkpoint.pt").unlink()
    assert kdgraph(*arguments).status == 0


def test_damaged_codes_are_a_sentence(
    kdgraph: Kdgraph,
    npz: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    arguments = ["train", "--dataset", npz, "--dim", 8, "--epochs", 3, "--quiet"]
    arguments += ["--coder", "fixed", "--codes", "tree:2x2+random:2x4", "--save"]

    def stop(self: SeedRun) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SeedRun, "run", stop)
        done = kdgraph(*arguments, run)
    assert done.status == 130
    assert "the same command goes on" in done.sentence
    codes = run / "seed-0.codes.safetensors"
    codes.write_bytes(codes.read_bytes()[:-1])
    done = kdgraph(*arguments, run)
    assert done.status == 2
    assert f"{codes} cannot be read (its tensors take" in done.sentence
    assert "remove it to have its codes read off the graph again" in done.sentence
    codes.unlink()
    for folder in (run, whole):
        assert kdgraph(*arguments, folder).status == 0
    assert not differences(whole, run)


def _checkpoint_of(kdgraph: Kdgraph, arguments: list[Any], run: Path) -> bytes:
    kept: list[bytes] = []

    def keep(self: RunDir, result: Any) -> None:
        kept.append(self.checkpoint_path(result.seed).read_bytes())
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "finish", keep)
        assert kdgraph(*arguments, "--checkpoint-seconds", 0).status == 130
    return kept[0]


@pytest.mark.parametrize("name", ["run.json", "seed-0.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": 0}', "[" * 100_000])
def test_damaged_records_are_a_sentence(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path, name: str, content: str
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--save", run]
    assert kdgraph(*arguments).status == 0
    (run / name).write_text(content)
    done = kdgraph(*arguments)
    assert done.status == 2
    assert str(run) in done.sentence


@pytest.mark.filterwarnings("default")
def test_folders_of_other_versions_resume(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path, strict_json: Any
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--save", run, "--seeds"]
    assert kdgraph(*arguments, 1).status == 0
    identity = strict_json(run / "run.json")
    del identity["config"]["precision"]
    identity["config"]["magic"] = 3
    (run / "run.json").write_text(json.dumps(identity))
    done = kdgraph(*arguments, 2)
    assert done.status == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith("kdgraph: warning: a stored TrainConfig has keys that")
    assert done.err.endswith("ignores: magic\n")
    done = kdgraph(*arguments, 2, "--precision", "bfloat16")
    assert done.status == 2
    assert "precision: 'float32' there, 'bfloat16' here" in done.err


def test_folder_in_use_is_refused(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path
) -> None:
    arguments = [
        "train",
        "--dataset",
        npz,
        *tiny,
        "--quiet",
        "--save",
        tmp_path / "run",
    ]
    with RunDir(tmp_path / "run", {"config": {}}):
        done = kdgraph(*arguments)
        assert done.status == 2
        assert "in use by another process" in done.sentence
    assert not (tmp_path / "run").exists()
    assert kdgraph(*arguments).status == 0


def test_folders_of_others_are_left_alone(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("")
    arguments = ["train", "--dataset", npz, *tiny, "--quiet", "--save"]
    done = kdgraph(*arguments, home)
    assert done.status == 2
    assert "is not empty and holds no run" in done.sentence
    assert [item.name for item in home.iterdir()] == ["thesis.tex"]
    assert "is a file" in kdgraph(*arguments, home / "thesis.tex").sentence
    assert kdgraph(*arguments, home / "thesis.tex" / "run").status == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    arguments = ["train", "--dataset", npz, *tiny, "--quiet"]
    for options in (["--save", "locked/run"], ["--json", "locked/out.json"]):
        done = kdgraph(*arguments, options[0], tmp_path / options[1])
        assert done.status == 2
        assert "locked" in done.sentence


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(arguments: list[Any]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "kdgraph", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=_heed_interrupts,  # noqa: PLW1509  (there are no threads)
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a file is there, or the process has ended."""
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_sigkill_at_random_moments(tmp_path: Path, npz: Path, strict_json: Any) -> None:
    """Three times, by another process, while every epoch writes a checkpoint."""
    arguments = ["train", "--dataset", npz, "--dim", 8, "--num-codebooks", 4]
    arguments += ["--codebook-size", 3, "--coder", "gumbel", "--guidance", "online"]
    arguments += ["--epochs", 100, "--patience", 100, "--seeds", 2, "--quiet"]
    arguments += ["--compare", "full", "--checkpoint-seconds", 0]
    outputs = {}
    for name in ("whole", "broken"):
        outputs[name] = ["--save", tmp_path / name, "--json", tmp_path / f"{name}.json"]
    whole = start(arguments + outputs["whole"])
    assert whole.communicate(timeout=300)
    assert whole.returncode == 0

    moments = random.Random(8)
    for _ in range(3):
        process = start(arguments + outputs["broken"])
        wait_for(tmp_path / "broken" / "run.json", process)
        time.sleep(moments.uniform(0.0, 1.2))
        process.kill()
        process.communicate()
    assert not (tmp_path / "broken.json").exists()
    last = start(arguments + outputs["broken"])
    assert last.communicate(timeout=300)
    assert last.returncode == 0
    assert not differences(tmp_path / "whole", tmp_path / "broken")
    results = [
        without_measurements(strict_json(tmp_path / f"{name}.json")) for name in outputs
    ]
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_the_epoch(
    tmp_path: Path, npz: Path, number: signal.Signals
) -> None:
    arguments = ["train", "--dataset", npz, "--dim", 8, "--num-codebooks", 4, "--quiet"]
    arguments += [
        "--epochs",
        100_000,
        "--patience",
        100_000,
        "--save",
        tmp_path / "run",
    ]
    process = start(arguments)
    wait_for(tmp_path / "run" / "run.json", process)
    time.sleep(1.0)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not out
    assert "stopping after this step" in err
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "seed-0.checkpoint.pt").exists()
