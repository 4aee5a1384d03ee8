"""Run experiments, each in a process of its own, and keep what they say."""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.experiment import Experiment
from benchmarks.harness.tasks import task_of
from benchmarks.message_passing import machine
from benchmarks.process import run_process
from kdgraph.atomic import replacing
from kdgraph.training.provenance import git_commit, versions


@dataclass(frozen=True)
class Options:
    """How experiments are run.

    Args:
        datasets: Only these; all where ``None``. (default: ``None``)
        root: Folder of data sets, if another than the usual one. (default: ``None``)
        output: Folder of results, if another than the benchmark's. (default: ``None``)
        jobs: Runs side by side. (default: ``1``)
        timeout: Seconds after which a run is ended. (default: four hours)
        memory: Bytes that a run may take, or ``None``. (default: ``None``)
    """

    datasets: Sequence[str] | None = None
    root: Path | None = None
    output: Path | None = None
    jobs: int = 1
    timeout: float = 4 * 3600.0
    memory: int | None = None


Run = tuple[Experiment, str]
"""An experiment and what it runs on."""


def run_all(experiments: Iterable[Experiment], options: Options) -> int:
    """Run what has no record yet; a failure is a record too.

    Returns:
        How many failed.

    Raises:
        ValueError: A configuration that is not valid, records of another one, or an
            output that is a file; then nothing has been run.
    """
    output = options.output
    if output is not None and output.exists() and not output.is_dir():
        raise ValueError(f"--output expects a folder, got the file {output}")
    runs = _chosen(experiments, options)
    for experiment, dataset in runs:
        validate(experiment, dataset)
    missing = [run for run in runs if not _is_there(*run, options)]
    kept = len(runs) - len(missing)
    print(f"{len(runs)} runs, {kept} with a result", flush=True)
    # Threads only wait for processes.
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = pool.map(lambda run: _run(*run, options), missing)
        failed = 0
        for number, (run, record) in enumerate(
            zip(missing, outcomes, strict=True), kept + 1
        ):
            failed += record["status"] != "ok"
            print(f"[{number}/{len(runs)}] {_line(*run, record)}", flush=True)
    return failed


def validate(experiment: Experiment, dataset: str) -> None:
    """Refuse an experiment that cannot be run, without running it.

    Raises:
        ValueError: Whatever is wrong, and in which file.
    """
    try:
        task = task_of(experiment.task)
        for trial in experiment.trials_on(dataset):
            task.validate(experiment.options | trial, dataset)
    except ValueError as error:
        raise ValueError(f"{experiment.path}: {error}") from error


def _chosen(experiments: Iterable[Experiment], options: Options) -> list[Run]:
    experiments = list(experiments)
    known = {dataset for one in experiments for dataset in one.datasets}
    unknown = sorted(set(options.datasets or ()) - known)
    if unknown:
        raise ValueError(
            f"no experiment runs on {', '.join(unknown)}: they run on "
            f"{', '.join(sorted(known))}"
        )
    return [
        (one, dataset)
        for one in experiments
        for dataset in one.datasets
        if options.datasets is None or dataset in options.datasets
    ]


def _is_there(experiment: Experiment, dataset: str, options: Options) -> bool:
    """Whether a run has its record already.

    Raises:
        ValueError: The record of another configuration, which is not overwritten.
    """
    record = experiment.record(dataset, options.output)
    if record is None:
        return False
    if record.get("config") != experiment.resolved(dataset):
        path = experiment.result_path(dataset, options.output)
        raise ValueError(
            f"{path} is the result of another configuration than {experiment.path} is "
            "now, and results are not overwritten; move it away, or name another "
            "folder with --output"
        )
    return True


def _run(experiment: Experiment, dataset: str, options: Options) -> dict[str, Any]:
    """Do one run in a fresh process, and keep its record."""
    config = experiment.resolved(dataset)
    request = {
        "config": config,
        "root": options.root and str(options.root.resolve()),
        "memory": options.memory,
    }
    threads = str(experiment.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    begun = time.time()
    described = machine.describe(experiment.threads)
    with tempfile.TemporaryDirectory() as folder:
        asked, written = Path(folder) / "request.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(request))
        found = run_process(
            ["-m", "benchmarks.harness.worker", str(asked), str(written)],
            written,
            environment=environment,
            timeout=options.timeout,
        )
    record = {
        "experiment": experiment.name,
        "dataset": dataset,
        "config": config,
        **found,
        "seconds": round(time.time() - begun, 1),
        "beside": options.jobs,
        "machine": described,
        "versions": versions(),
        "git": git_commit(),
    }
    path = experiment.result_path(dataset, options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    return record


def _line(experiment: Experiment, dataset: str, record: dict[str, Any]) -> str:
    name = f"{dataset} {experiment.name}: {record['status']}"
    if record["status"] != "ok":
        return f"{name}, {record.get('reason', '')}"
    score = record["result"]["test_score"]
    return f"{name}, test {100 * score['mean']:.1f}, {record['seconds']:.0f} s"
