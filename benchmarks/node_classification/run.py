"""Run experiments, each in a process of its own, and keep what they say."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.node_classification.experiment import Experiment

MESSAGE_LINES = 5
"""Lines of a failed run's output that its result keeps."""


def run_all(
    experiments: list[Experiment], datasets: list[str] | None, root: Path | None
) -> int:
    """Run what has no result yet; a failure is a result too.

    Returns:
        How many failed.
    """
    failed = 0
    for experiment in experiments:
        for dataset in experiment.datasets:
            path = experiment.result_path(dataset)
            if datasets is not None and dataset not in datasets:
                continue
            if path.exists():
                print(f"{dataset} {experiment.name}: has a result, kept")
                continue
            result = run_one(experiment, dataset, root)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(result, indent=1) + "\n")
            partial.replace(path)
            failed += result["status"] != "ok"
            print(f"{dataset} {experiment.name}: {result['status']}", flush=True)
    return failed


def run_one(experiment: Experiment, dataset: str, root: Path | None) -> dict[str, Any]:
    """Train one experiment on one graph in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        arguments = experiment.command(dataset, output, root)
        begun = time.time()
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "kdgraph", "train", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        record: dict[str, Any] = {
            "experiment": experiment.name,
            "dataset": dataset,
            "status": _status(done.returncode),
            "options": experiment.options,
            "seconds": round(time.time() - begun, 1),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.machine(),
                "threads": os.environ.get("OMP_NUM_THREADS"),
            },
        }
        if done.returncode == 0:
            return record | {"result": json.loads(output.read_text())}
        return record | {"message": done.stderr.splitlines()[-MESSAGE_LINES:]}


def _status(code: int) -> str:
    if code == 0:
        return "ok"
    # Killed by the kernel, most often for memory.
    return "killed" if code < 0 else "failed"
