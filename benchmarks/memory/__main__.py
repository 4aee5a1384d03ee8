"""``python -m benchmarks.memory [run | report]``."""

import argparse
import sys
from pathlib import Path

from benchmarks.memory import page
from benchmarks.memory.measure import TASKS
from benchmarks.memory.methods import METHODS
from benchmarks.memory.runs import RESULTS, run_all
from benchmarks.scale.setting import node_count

NODES = "10k,100k,1m,10m"


def main() -> int:
    """Measure what has no result yet, or write the page of what was measured."""
    arguments = _parser().parse_args()
    if arguments.command == "report":
        for path in page.write():
            print(path)
        return 0
    run_all(
        arguments.nodes,
        arguments.methods,
        arguments.tasks,
        results=arguments.results,
        timeout=arguments.timeout,
        force=arguments.force,
    )
    return 0


def _sizes(text: str) -> list[int]:
    try:
        return [node_count(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Bytes and peak memory of making, training and using node vectors.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        default="run",
        choices=("run", "report"),
        help="measure what has no result yet (the default), or the page of all results",
    )
    parser.add_argument(
        "--nodes",
        type=_sizes,
        default=NODES,
        metavar="N[,N...]",
        help=f"sizes (default: {NODES})",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="NAME",
        help=f"of {', '.join(METHODS)} (default: all)",
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=list(TASKS),
        help="steps of a batch, and steps of all nodes (default: both)",
    )
    parser.add_argument(
        "--timeout", type=float, default=1800.0, help="of a process, seconds"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--force", action="store_true", help="measure again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
