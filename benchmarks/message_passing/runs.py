"""Run all rivals of a setting one after another, each in a fresh process."""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.message_passing import exact, machine
from benchmarks.message_passing.graphs import draw_graph, read_arxiv, write_arrays
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals import Rival, of_suite
from benchmarks.message_passing.rivals.base import output_bytes
from benchmarks.message_passing.roofline import roof, spread_class
from benchmarks.message_passing.setting import ARXIV, Setting
from benchmarks.process import run_process
from kdgraph.ops import backend
from kdgraph.training.provenance import git_commit, versions

_PROCESS = 1 << 30
"""Bytes that a process with torch takes before it does anything, and to spare."""


@dataclass(frozen=True)
class Options:
    """How rivals are measured.

    Args:
        repeats: Calls that count, at most, in one process.
        rounds: Times that all rivals are run.
        seconds: After which no further call begins in a process.
        threads: Of every process.
        temporary: Bytes beside inputs and result above which a rival is left out.
        timeout: Seconds after which a process is ended.
    """

    repeats: int = 5
    rounds: int = 1
    seconds: float = 3.0
    threads: int = 1
    temporary: float = 8e9
    timeout: float = 900.0


def prepare(setting: Setting, folder: Path, root: Path | None) -> Setting:
    """Write the inputs of a setting; what it says of the graph may change."""
    arrays = None
    if setting.size == ARXIV:
        arrays = read_arxiv(root)
        degrees = setting.degrees if arrays is None else "real"
        if arrays is not None:
            sizes = {"num_nodes": len(arrays.y), "num_edges": len(arrays.col)}
            setting = Setting(**setting.as_dict() | sizes | {"degrees": degrees})
    write_arrays(folder, arrays or draw_graph(setting), setting)
    exact.save(folder, Inputs(folder))
    return setting


def run_setting(setting: Setting, folder: Path, options: Options) -> dict[str, Any]:
    """Measure everyone on inputs that are there, and say what came out.

    The first rival, whom ratios are to, is run once more at the end. That run does not
    count; it shows whether the machine changed in between.
    """
    rivals = of_suite(setting.suite)
    described = machine.describe(options.threads)
    environment = _environment(options.threads, folder)
    spreads = {spread_class(rival.work(setting).spread) for rival in rivals}
    described |= _ceilings(sorted(spreads), environment)
    results: dict[str, dict[str, Any]] = {}
    for rival in rivals * options.rounds:
        found = _run_one(rival, setting, folder, options, environment)
        results[rival.name] = _merged(results.get(rival.name), found)
        print(f"  {rival.label}: {_said(results[rival.name])}", flush=True)
    again = _run_one(rivals[0], setting, folder, options, environment)
    return {
        "setting": setting.as_dict(),
        "options": asdict(options),
        "machine": described,
        "versions": versions() | _faiss(),
        "git": git_commit(),
        "backend": backend(),
        "again_seconds": again.get("seconds"),
        "rivals": {
            rival.name: _described(rival, setting, results[rival.name], described)
            for rival in rivals
        },
    }


def _run_one(
    rival: type[Rival],
    setting: Setting,
    folder: Path,
    options: Options,
    environment: dict[str, str],
) -> dict[str, Any]:
    available = machine.available_bytes()
    problem = _too_large(rival, setting, options, available)
    if problem:
        return {"status": "skipped", "reason": problem}
    module = "benchmarks.message_passing.measure"
    command = ["-m", module, str(folder), rival.name]
    command += [f"--repeats={options.repeats}", f"--seconds={options.seconds}"]
    command += [f"--memory={available}"] if available is not None else []
    return run_process(
        command,
        folder / f"{rival.name}.json",
        environment=environment,
        timeout=options.timeout,
    )


def _too_large(
    rival: type[Rival], setting: Setting, options: Options, available: int | None
) -> str:
    """Why a rival is not even tried; empty if it is."""
    needed, beside = needed_bytes(rival, setting), rival.temporary(setting)
    if available is not None and needed > available:
        return (
            f"would need {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB "
            "are free"
        )
    if beside > options.temporary:
        return (
            f"would write {beside / 1e9:.1f} GB beside its result, more than the "
            f"{options.temporary / 1e9:g} GB of --temporary"
        )
    return ""


def needed_bytes(rival: type[Rival], setting: Setting) -> int:
    """What a process of a rival is thought to take."""
    inputs = sum(rival.reads(setting).values())
    return _PROCESS + inputs + output_bytes(setting) + rival.temporary(setting)


def _merged(earlier: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Two runs of a rival as one; one that failed says how."""
    if found["status"] != "ok":
        return found
    found = found | {"seconds": [found["seconds"]]}
    del found["reason"]
    if earlier is None or earlier["status"] != "ok":
        return earlier or found
    worst = {
        name: max(earlier[name], found[name])
        for name in ("extra_bytes", "difference")
        if found[name] is not None
    }
    return found | worst | {"seconds": earlier["seconds"] + found["seconds"]}


def _described(
    rival: type[Rival], setting: Setting, found: dict[str, Any], machine: dict[str, Any]
) -> dict[str, Any]:
    """What came out, with what it read, moved and might have reached."""
    work = rival.work(setting)
    record: dict[str, Any] = {
        "label": rival.label,
        "baseline": rival.baseline,
        **found,
        "input_bytes": rival.reads(setting),
    }
    bound = roof(work, machine)
    if bound is not None:
        record["work"] = asdict(work) | {"bytes": work.bytes}
        record["roof"] = {"binding": bound.binding, "seconds": bound.seconds}
    if found["status"] == "ok":
        taken = [second for run in found["seconds"] for second in run]
        record["best_seconds"] = min(taken)
        record["median_seconds"] = statistics.median(taken)
        if bound is not None:
            record["roof"]["fraction"] = bound.seconds / min(taken)
    return record


def _said(result: dict[str, Any]) -> str:
    if result["status"] != "ok":
        return f"{result['status']}, {result['reason']}"
    return f"{min(result['seconds'][-1]):.4g} s"


def _ceilings(spreads: list[int], environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.message_passing.machine"]
    done = subprocess.run(  # noqa: S603
        command + [str(spread) for spread in spreads],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _environment(threads: int, folder: Path) -> dict[str, str]:
    """Of every process: threads, and a folder for what torch compiles."""
    numbers = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL")}
    return os.environ | numbers | {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}


def _faiss() -> dict[str, str]:
    try:
        return {"faiss-cpu": version("faiss-cpu")}
    except PackageNotFoundError:
        return {}
