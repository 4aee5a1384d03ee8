"""Jobs that are killed resume, and those that do not are told."""

from __future__ import annotations

import fnmatch
import json
import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.kill.__main__ import CONFIG
from benchmarks.kill.compare import differences
from benchmarks.kill.process import Command, Start
from benchmarks.kill.setting import Job, Phase, Setting
from benchmarks.kill.trials import Trials
from kdgraph.cli.main import main

GRAPH = {"num_nodes": 600, "mean_degree": 6, "seed": 0}


def setting(jobs: dict[str, str], *phases: Phase) -> Setting:
    return Setting(GRAPH, {name: Job(name, jobs[name]) for name in jobs}, phases)


class Forked:
    """A command in a process that has imported everything before it begins."""

    def __init__(self, context: Any, words: list[str]) -> None:
        self._process = context.Process(target=main, args=(words[1:],))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        return int(self._process.exitcode)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> Start:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    # A fork lacks the threads that were there before, and must not wait for them.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kdgraph.cli.main"])
    return lambda words, log: Forked(context, words)


@pytest.mark.slow
def test_killed_jobs_resume(tmp_path: Path, forked: Start) -> None:
    jobs = {
        "prepare": "kdgraph prepare {input} -o {here}/graph --memory 32K",
        "train": "kdgraph train --dataset {prepare}/graph --save {here}/run --json "
        "{here}/result.json --coder refined --codes order:4x4+spectral:2x16 --dim 256 "
        "--composer sum --epochs 30 --checkpoint-seconds 0 --quiet",
        "export": "kdgraph export {train}/run -o {here}/model.kdg.safetensors",
    }
    codes, result = "run/seed-0.codes.safetensors", "run/seed-0.json"
    checkpoint = "run/.seed-0.checkpoint.pt.*.tmp"
    phases = (
        Phase("prepare", "prepare", ".graph.partial", "graph"),
        Phase("train", "train", codes, result),
        Phase("checkpoint", "train", codes, result, checkpoint),
        Phase("export", "export"),
    )
    trials, random = Trials(setting(jobs, *phases), tmp_path, forked), Random(0)
    for phase in phases:
        trial = trials.kill(phase, random)
        assert not trial.differences, phase
        left = fnmatch.filter(trial.left, checkpoint)
        assert left or phase.name != "checkpoint"


PARENT = """
import subprocess, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_what_a_command_started_is_killed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    log = tmp_path / "log"
    command = Command(["parent"], log)
    while not log.read_text().endswith("\n"):
        assert command.poll() is None
    command.kill()
    assert command.wait() == -signal.SIGKILL
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", log.read_text()], check=False, stdout=-1
    )
    assert found.stdout.strip()[:1] in (b"", b"Z")


APPEND = """
import pathlib, sys, time
with open(pathlib.Path(sys.argv[1]) / "log", "a") as file:
    for line in range(60):
        print(line, file=file, flush=True)
        time.sleep(0.002)
"""


def test_job_that_begins_anew_on_what_it_left_is_told(tmp_path: Path) -> None:
    phases = (Phase("any", "append", "log"), Phase("none", "append", writing="tmp"))

    def start(words: list[str], log: Path) -> Any:
        return subprocess.Popen([sys.executable, "-S", "-c", APPEND, words[-1]])

    jobs = {"append": "append {here}"}
    trials = Trials(setting(jobs, *phases), tmp_path, start)
    assert trials.lengths["any"] > 0.1
    trial = trials.kill(phases[0], Random(0))
    assert trial.differences == ["log differs"]
    assert trial.seconds < 2 * trials.lengths["any"]
    with pytest.raises(RuntimeError, match="none was always over too soon"):
        trials.kill(phases[1], Random(0))


def test_job_that_fails_undisturbed_is_told(tmp_path: Path) -> None:
    def start(words: list[str], log: Path) -> Any:
        log.write_text("no such thing")
        return subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(2)"])

    with pytest.raises(RuntimeError, match=r"(?s)fly fails with status 2.*such thing"):
        Trials(setting({"fly": "fly {here}"}), tmp_path, start)


def make_run(folder: Path, **changes: Any) -> Path:
    """What a run might leave."""
    values: dict[str, Any] = {"loss": [0.1], "seconds": 1.0, "codes": [1, 2]}
    values |= changes
    folder.mkdir()
    result = {"losses": values["loss"], "nested": {"seconds": values["seconds"]}}
    (folder / "seed-0.json").write_text(json.dumps(result))
    (folder / "model").write_bytes(values.get("model", b"model"))
    codes = np.array(values["codes"])
    save_file(
        {"codes": codes}, folder / "a.codes.safetensors", {"s": str(values["seconds"])}
    )
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seconds": 2.0}, []),
        ({"loss": [0.1000001]}, ["seed-0.json differs"]),
        ({"codes": [1, 3]}, ["a.codes.safetensors differs"]),
        ({"model": b"Model"}, ["model differs"]),
    ],
)
def test_differences(tmp_path: Path, changes: Any, told: list[str]) -> None:
    whole = make_run(tmp_path / "whole")
    assert differences(whole, make_run(tmp_path / "other", **changes)) == told


def test_leftovers_are_differences(tmp_path: Path) -> None:
    whole, other = make_run(tmp_path / "whole"), make_run(tmp_path / "other")
    (other / ".model.tmp").touch()
    (other / "model").unlink()
    (other / ".graph.partial").mkdir()
    assert differences(whole, other) == [
        "model is missing",
        ".graph.partial is left over",
        ".model.tmp is left over",
        ".graph.partial is not finished",
        ".model.tmp is not finished",
    ]


def test_the_committed_phases_belong_to_jobs() -> None:
    found = Setting.read(CONFIG)
    assert {phase.job for phase in found.phases} == set(found.jobs)
    places = {"input": Path("in"), "here": Path("h")}
    for name, job in found.jobs.items():
        program, command = job.words(places)[:2]
        assert (program, command) == ("kdgraph", "train" if name == "mini" else name)
        places[name] = Path(name)
