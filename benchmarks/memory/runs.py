"""Run measurements that have no result yet, each in a fresh process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.memory.measure import TASKS
from benchmarks.memory.methods import METHODS
from benchmarks.message_passing import machine
from benchmarks.process import run_process
from kdgraph.atomic import replacing
from kdgraph.ops import backend
from kdgraph.training.provenance import git_commit, versions

RESULTS = Path(__file__).parent / "results"
MEMORY = 8 << 30
"""Bytes of data that a process may take: what needs more is out of memory."""
MOST_FULL = 1_000_000
"""Nodes of the largest step of all nodes: of more, vectors alone and their gradient
take that memory."""
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Of glibc: from 64 KiB on, what is freed goes back to the system at once.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 16),
}


def run_all(
    nodes: Iterable[int],
    methods: Iterable[str],
    tasks: Iterable[str],
    *,
    results: Path = RESULTS,
    timeout: float = 1800.0,
    force: bool = False,
) -> None:
    """Measure the smallest first, and keep every result as it comes.

    Args:
        nodes: Sizes N.
        methods: Names of methods.
        tasks: ``"batch"`` and ``"full"``; the latter only where N allows it.
        results: Folder with a file for each method. (default: that of this benchmark)
        timeout: Seconds after which a process is ended. (default: ``1800``)
        force: Measure again what has a result. (default: ``False``)
    """
    named, methods = list(tasks), list(methods)
    for size in sorted(nodes):
        for method in methods:
            for task in named:
                if task == "full" and size > MOST_FULL:
                    continue
                path = results / f"{method}.json"
                if force or find_run(load(path), size, task) is None:
                    found = _run(method, size, task, timeout)
                    _keep(path, method, found)
                    print(f"{method} {size:,} {task}: {found['status']}", flush=True)


def load(path: Path) -> dict[str, Any]:
    """The record of a method; one without runs where there is none."""
    if not path.exists():
        return {"runs": []}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def find_run(record: dict[str, Any], nodes: int, task: str) -> dict[str, Any] | None:
    """The run of a size and a task, if there is one."""
    for run in record["runs"]:
        if (run["num_nodes"], run["task"]) == (nodes, task):
            found: dict[str, Any] = run
            return found
    return None


def _run(method: str, nodes: int, task: str, timeout: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        written = Path(place) / "result.json"
        command = ["-m", "benchmarks.memory.measure", method, str(nodes), task]
        found = run_process(
            [*command, str(written), f"--memory={MEMORY}"],
            written,
            environment=os.environ | _ENVIRONMENT,
            timeout=timeout,
        )
    return {"num_nodes": nodes, "task": task, "git": git_commit(), **found}


def _keep(path: Path, method: str, found: dict[str, Any]) -> None:
    runs = [
        run
        for run in load(path)["runs"]
        if (run["num_nodes"], run["task"]) != (found["num_nodes"], found["task"])
    ]
    runs.append(found)
    runs.sort(key=lambda run: (run["num_nodes"], TASKS.index(run["task"])))
    record = {
        "method": method,
        "config": METHODS[method].config.as_dict(),
        "memory_limit": MEMORY,
        "machine": machine.describe(1),
        "versions": versions(),
        "backend": backend(),
        "runs": runs,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
