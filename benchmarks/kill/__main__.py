"""``python -m benchmarks.kill``: kill commands at random moments, and repeat them."""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.kill.process import Command
from benchmarks.kill.setting import Setting
from benchmarks.kill.trials import Trial, Trials
from kdgraph.atomic import replacing
from kdgraph.training.provenance import git_commit, versions

CONFIG = Path(__file__).parent / "config.json"
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Print a line for each kill; 1 if a command did not resume."""
    arguments = _parser().parse_args()
    setting = Setting.read(arguments.config)
    random = Random(arguments.seed)  # noqa: S311 - moments, not secrets
    found: list[Trial] = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        trials = Trials(setting, Path(folder), Command)
        print(f"{'':>3}  {'phase':10}  {'killed after':>12}  {'repeated':>8}  ", end="")
        print("unfinished when killed", flush=True)
        for number in range(arguments.kills):
            phase = setting.phases[number % len(setting.phases)]
            trial = trials.kill(phase, random)
            found.append(trial)
            print(_line(number + 1, trial), flush=True)
    resumed = sum(not trial.differences for trial in found)
    record = {
        "config": json.loads(arguments.config.read_text()),
        "seed": arguments.seed,
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        },
        "versions": versions(),
        "git": git_commit(),
        "seconds": trials.seconds,
        "phase_seconds": trials.lengths,
        "kills": [trial.as_dict() for trial in found],
        "resumed": resumed,
    }
    name = f"{arguments.kills}-kills-seed-{arguments.seed}.json"
    _write(arguments.output or RESULTS / name, record)
    print(f"{resumed} of {arguments.kills} resumed")
    return 0 if resumed == arguments.kills else 1


def _line(number: int, trial: Trial) -> str:
    left = ", ".join(
        name for name in trial.left if "/" not in name.removeprefix("run/")
    )
    line = f"{number:>3}  {trial.phase:10}  {trial.seconds:>10.2f} s  "
    line += f"{trial.repeated:>6.1f} s  {left or '-'}"
    return "\n".join((line, *(f"     {what}" for what in trial.differences)))


def _write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps(record, indent=1).encode() + b"\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--output", type=Path, help="JSON file (default: results/)")
    parser.add_argument("--scratch", type=Path, help="folder for the runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
