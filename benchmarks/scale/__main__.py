"""``python -m benchmarks.scale [run | growth | report]``."""

import argparse
import json
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.message_passing.machine import available_cores
from benchmarks.scale import costs, report, table
from benchmarks.scale.runs import (
    DEFAULT_STEPS,
    STEPS,
    graph_folder,
    run_growth,
    run_step,
)
from benchmarks.scale.setting import Setting, node_count
from kdgraph.atomic import replacing


def main() -> int:
    """Measure steps on graphs, or write the page of what was measured."""
    arguments = _parser().parse_args()
    if arguments.command == "report":
        report.write_page()
        costs.write_costs()
        print(f"{report.PAGE}\n{costs.FILE}")
        return 0
    settings = [_setting(nodes, arguments) for nodes in arguments.nodes]
    steps = arguments.steps if arguments.command == "run" else []
    named = [(f"{step}-{one.size}", step, one) for one in settings for step in steps]
    _refuse_overwriting(arguments, [name for name, _, _ in named] or ["growth"])
    with _scratch(arguments.scratch) as place:
        scratch = Path(place)
        for name, step, one in named:
            folder = graph_folder(scratch, one)
            _keep(arguments, name, run_step(step, one, folder, arguments.timeout))
        if not named:
            record = run_growth(settings, scratch, arguments.timeout)
            _keep(arguments, "growth", record)
    return 0


def _setting(nodes: int, arguments: argparse.Namespace) -> Setting:
    names = ("batches", "rounds", "threads", "seed", "codes")
    return Setting(nodes, **{name: getattr(arguments, name) for name in names})


def _refuse_overwriting(arguments: argparse.Namespace, names: list[str]) -> None:
    there = [name for name in names if _path(arguments, name).exists()]
    if there and not arguments.force:
        sys.exit(
            f"{arguments.results} holds {', '.join(there)} already; --force measures "
            "again and replaces it"
        )


def _keep(arguments: argparse.Namespace, name: str, record: dict[str, Any]) -> None:
    path = _path(arguments, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    print(f"\n{table.text(record)}\n{path}\n", flush=True)


def _path(arguments: argparse.Namespace, name: str) -> Path:
    results: Path = arguments.results
    return results / f"{name}.json"


def _scratch(given: Path | None) -> Any:
    return tempfile.TemporaryDirectory() if given is None else nullcontext(str(given))


def _steps(text: str) -> list[str]:
    steps = text.split(",")
    for step in steps:
        if step not in STEPS:
            raise argparse.ArgumentTypeError(
                f"no step {step!r}; there are {', '.join(STEPS)}"
            )
    return [step for step in STEPS if step in steps]


def _sizes(text: str) -> list[int]:
    try:
        return [node_count(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="A generated graph with ten undirected edges per node, step by "
        "step: seconds, bytes and peak memory.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        default="run",
        choices=("run", "growth", "report"),
        help="steps on graphs (the default), training on several sizes in turn, or the "
        "page of all results and the costs that kdgraph plan reckons with",
    )
    parser.add_argument(
        "--nodes",
        type=_sizes,
        default="1m",
        metavar="N[,N...]",
        help="nodes, such as 1m or 1m,10m (default: 1m)",
    )
    parser.add_argument(
        "--steps",
        type=_steps,
        default=",".join(DEFAULT_STEPS),
        metavar="STEP[,STEP...]",
        help=f"of {', '.join(STEPS)} (default: {', '.join(DEFAULT_STEPS)}, which take "
        "minutes)",
    )
    parser.add_argument(
        "--codes",
        choices=("made", "random"),
        default=Setting.codes,
        help="train on the codes that the step of that name made, if there are any, "
        "or on random ones (default: made)",
    )
    parser.add_argument("--batches", type=int, default=Setting.batches)
    parser.add_argument(
        "--rounds", type=int, default=Setting.rounds, help="of what takes turns"
    )
    threads = int(os.environ.get("OMP_NUM_THREADS", available_cores()))
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--timeout", type=float, default=7200.0, help="of a process, seconds"
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        help="folder where graphs are kept for another time (default: a temporary one)",
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    parser.add_argument("--force", action="store_true", help="overwrite results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
