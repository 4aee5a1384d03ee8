"""``python -m benchmarks run CONFIG... | report [--check]``."""

import argparse
import sys
from pathlib import Path

from benchmarks.harness.experiment import load_experiments
from benchmarks.harness.report import stale, unaccounted, write
from benchmarks.harness.run import Options, run_all
from benchmarks.message_passing.machine import available_cores
from kdgraph.cli.parser import USER_ERROR, Parser, byte_count


def main() -> int:
    """Run experiments that have no result yet, or write what results say."""
    arguments = _parser().parse_args()
    try:
        if arguments.command == "run":
            return _run(arguments)
        return _report(check=arguments.check)
    except ValueError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return USER_ERROR


def _run(arguments: argparse.Namespace) -> int:
    experiments = load_experiments(*arguments.configs)
    if arguments.jobs < 1:
        raise ValueError(f"--jobs is at least 1, got {arguments.jobs}")
    options = Options(
        datasets=arguments.dataset,
        root=arguments.root,
        output=arguments.output,
        jobs=arguments.jobs,
        timeout=arguments.timeout,
        memory=arguments.memory,
    )
    return 1 if run_all(experiments, options) else 0


def _report(*, check: bool) -> int:
    if check:
        old = stale()
        for path in old:
            print(f"{path} does not show what the results say")
        print(
            f"{len(old)} files differ" if old else "tables and figures are up to date"
        )
        unnamed = unaccounted()
        for run in unnamed:
            print(f"{run} has no result, and no page says so")
        return 1 if old or unnamed else 0
    for path in write():
        print(path)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run configurations that have no result yet",
        description="Run every configuration on every data set it names, each in a "
        "fresh process, and keep one JSON per run. What has a result is kept, so that "
        "the same command goes on after it was stopped.",
    )
    run.add_argument(
        "configs", nargs="+", type=Path, metavar="CONFIG", help="files or folders"
    )
    run.add_argument("--dataset", nargs="+", metavar="NAME", help="only on these")
    run.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="folder of data sets (default: $KDGRAPH_DATA, else ~/.cache/kdgraph)",
    )
    run.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the results (default: results, beside configs)",
    )
    run.add_argument(
        "--jobs",
        type=int,
        default=available_cores(),
        metavar="n",
        help="runs side by side (default: one per core)",
    )
    run.add_argument(
        "--timeout",
        type=float,
        default=Options.timeout,
        metavar="S",
        help="seconds after which a run is ended",
    )
    run.add_argument(
        "--memory",
        type=byte_count,
        metavar="BYTES",
        help="that a run may take, such as 8G; one that needs more is recorded as such",
    )
    report = commands.add_parser("report", help="write tables and figures of results")
    report.add_argument(
        "--check",
        action="store_true",
        help="write nothing, and end with 1 if a table or figure is not up to date",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
