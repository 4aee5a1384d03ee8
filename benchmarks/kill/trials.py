"""Trials: run every job undisturbed, then kill it, repeat it and compare."""

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.kill.compare import differences, entries, is_partial
from benchmarks.kill.process import Running, Start
from benchmarks.kill.setting import Job, Phase, Setting
from kdgraph.data import sbm

_ATTEMPTS = 8
_STEP = 0.001
_LATEST = 0.8
"""Share of a phase after which nothing may be written any more."""


@dataclass(frozen=True)
class Trial:
    """A job that was killed and repeated.

    Args:
        phase: In which it was killed.
        seconds: After how much of the phase.
        left: Unfinished files and folders that it left.
        repeated: Seconds that the same command took then.
        differences: From what an undisturbed job leaves; empty if it resumed.
    """

    phase: str
    seconds: float
    left: list[str]
    repeated: float
    differences: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Trials:
    """A folder in which jobs are run, killed and repeated.

    Args:
        setting: The jobs, and when they are killed.
        folder: An empty one.
        start: Starts a command.

    Raises:
        RuntimeError: A job fails undisturbed.
    """

    def __init__(self, setting: Setting, folder: Path, start: Start) -> None:
        self.setting = setting
        self.folder = folder
        self._start = start
        self._places = {"input": folder / "edges.npz"}
        self.lengths: dict[str, float] = {}
        """Seconds that each phase takes undisturbed."""
        self.seconds: dict[str, float] = {}
        """And each job."""
        _write_graph(self._places["input"], setting.graph)
        for job in setting.jobs.values():
            self._run_whole(job)

    def kill(self, phase: Phase, random: Random) -> Trial:
        """Kill the job of a phase at a random moment of it, and repeat it.

        Raises:
            RuntimeError: The moment was missed again and again.
        """
        job, here = self.setting.jobs[phase.job], self.folder / "killed"
        for attempt in range(_ATTEMPTS):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            # A busy machine was slower at first than it may be now.
            share = random.uniform(0.0, _LATEST if phase.writing else 1.0)
            moment = share * self.lengths[phase.name] / 2**attempt
            seconds = self._strike(self._run(job, here), here, phase, moment)
            left = [name for name in sorted(entries(here)) if is_partial(name)]
            if seconds is not None and _is_writing(here, phase):
                break
        else:
            raise RuntimeError(f"phase {phase.name} was always over too soon")
        begun = time.monotonic()
        status = self._run(job, here).wait()
        repeated = time.monotonic() - begun
        told = [f"exit status {status}"] if status else []
        told += differences(self.folder / job.name, here)
        return Trial(phase.name, seconds, left, repeated, told)

    def _run(self, job: Job, here: Path) -> Running:
        words = job.words(self._places | {"here": here})
        return self._start(words, self.folder / "log.txt")

    def _run_whole(self, job: Job) -> None:
        """Run a job to its end, and see how long its phases take."""
        here = self.folder / job.name
        here.mkdir()
        phases = [one for one in self.setting.phases if one.job == job.name]
        files = {name for one in phases for name in (one.begin, one.end) if name}
        begun, seen = time.monotonic(), dict[str, float]()
        running = self._run(job, here)
        while running.poll() is None:
            for name in files - seen.keys():
                if (here / name).exists():
                    seen[name] = time.monotonic()
            time.sleep(_STEP)
        if status := running.wait():
            log = (self.folder / "log.txt").read_text()
            raise RuntimeError(f"{job.name} fails with status {status}:\n{log}")
        ended = time.monotonic()
        for phase in phases:
            end = seen[phase.end] if phase.end else ended
            self.lengths[phase.name] = end - seen.get(phase.begin, begun)
        self.seconds[job.name] = ended - begun
        self._places[job.name] = here

    def _strike(
        self, running: Running, here: Path, phase: Phase, moment: float
    ) -> float | None:
        """Kill it at a moment, tell after how long; ``None`` if it went too far."""
        while not (here / phase.begin).exists() and running.poll() is None:
            time.sleep(_STEP)
        begun = time.monotonic()
        while running.poll() is None and (
            time.monotonic() - begun < moment or not _is_writing(here, phase)
        ):
            # It is written within a few milliseconds.
            time.sleep(_STEP / 5)
        lasted = time.monotonic() - begun
        if running.poll() is None:
            running.kill()
        killed = running.wait() < 0
        over = bool(phase.end) and (here / phase.end).exists()
        return lasted if killed and not over else None


def _is_writing(here: Path, phase: Phase) -> bool:
    """Whether the file of a phase is there, or it has none."""
    return not phase.writing or any(here.glob(phase.writing))


def _write_graph(path: Path, options: dict[str, Any]) -> None:
    graph = sbm(**options)
    row, col = graph.adj.nonzero()
    splits = ("y", "train_idx", "valid_idx", "test_idx")
    arrays = {name: getattr(graph, name).numpy() for name in splits}
    np.savez(path, edge_index=np.stack((row, col)), num_nodes=graph.num_nodes, **arrays)
