"""Run the steps on a graph, each in fresh processes, and say what came out."""

import os
from pathlib import Path
from typing import Any

from benchmarks.message_passing import machine
from benchmarks.process import run_process
from benchmarks.scale.exchange import LAYOUTS, Layout
from benchmarks.scale.setting import Setting
from kdgraph.ops import backend
from kdgraph.training.provenance import git_commit, versions

STEPS = {
    "prepare": ("prepare",),
    "sample": ("sample",),
    "codes": ("codes",),
    "train": ("train",),
    "infer": ("infer",),
    "table": ("train", "table"),
    "exchange": tuple(LAYOUTS),
}
"""The tasks of each step; where there are several, they take turns."""
DEFAULT_STEPS = ("prepare", "sample", "train", "infer")


def run_step(
    step: str, setting: Setting, folder: Path, timeout: float
) -> dict[str, Any]:
    """Do the tasks of a step on a graph, which is made first if it is not there."""
    described = machine.describe(setting.threads)
    tasks = STEPS[step]
    missing = _provide(step, setting, folder, timeout)
    runs: dict[str, list[dict[str, Any]]] = {task: [] for task in tasks}
    for _ in range(setting.rounds if len(tasks) > 1 else 1):
        for task in tasks:
            if any(run["status"] != "ok" for run in runs[task]):
                continue
            runs[task].append(missing or _run(task, setting, folder, timeout))
    return {"step": step, "runs": runs} | _about(setting, described)


def run_growth(
    settings: list[Setting], scratch: Path, timeout: float
) -> dict[str, Any]:
    """Train on graphs of several sizes, which take turns."""
    described = machine.describe(settings[0].threads)
    folders = [graph_folder(scratch, one) for one in settings]
    missing = [
        _provide("train", one, folder, timeout)
        for one, folder in zip(settings, folders, strict=True)
    ]
    runs: dict[str, list[dict[str, Any]]] = {one.size: [] for one in settings}
    for _ in range(settings[0].rounds):
        for one, folder, fault in zip(settings, folders, missing, strict=True):
            found = fault or _run("train", one, folder, timeout)
            runs[one.size].append(found | {"num_nodes": one.num_nodes})
    return {"step": "growth", "runs": runs} | _about(settings[-1], described)


def graph_folder(scratch: Path, setting: Setting) -> Path:
    """Where a graph lies, and what is made of it; made if it is not there."""
    folder = scratch / f"{setting.size}-{setting.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _provide(
    step: str, setting: Setting, folder: Path, timeout: float
) -> dict[str, Any] | None:
    """Make what a step reads; what went wrong, if anything did."""
    needed = {"draw": folder / "edges.npz", "prepare": folder / "graph" / "meta.json"}
    if step == "prepare":
        del needed["prepare"]
    elif needed["prepare"].exists():
        return None
    for task, path in needed.items():
        if not path.exists():
            found = _run(task, setting, folder, timeout)
            if found["status"] != "ok":
                return found
    return None


def _run(task: str, setting: Setting, folder: Path, timeout: float) -> dict[str, Any]:
    setting.save(folder)
    command = ["-m", "benchmarks.scale.measure", str(folder), task]
    available = machine.available_bytes()
    layout = LAYOUTS.get(task, Layout("", 1, setting.threads))
    if available is not None:
        command += [f"--memory={available // layout.processes}"]
    numbers = {f"{name}_NUM_THREADS": str(layout.threads) for name in ("OMP", "MKL")}
    found = run_process(
        command,
        folder / f"{task}.json",
        environment=os.environ | numbers,
        timeout=timeout,
        shown=True,
    )
    said = found.get("reason", f"peak {found.get('peak_rss_bytes', 0) / 2**30:.2f} GiB")
    print(f"  {setting.size} {task}: {found['status']}, {said}", flush=True)
    return found


def _about(setting: Setting, described: dict[str, Any]) -> dict[str, Any]:
    return {
        "setting": setting.as_dict(),
        "machine": described,
        "versions": versions(),
        "git": git_commit(),
        "backend": backend(),
    }
