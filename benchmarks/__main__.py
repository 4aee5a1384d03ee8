"""``python -m benchmarks run | report``."""

import argparse
import sys
from pathlib import Path

from benchmarks.node_classification import report, run
from benchmarks.node_classification.experiment import Experiment, load_experiments


def main() -> int:
    """Run experiments that have no result yet, or write the report of those that do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="run experiments that have no result yet")
    runs.add_argument(
        "names", nargs="*", help="experiments, such as kd-softmax (default: all)"
    )
    runs.add_argument("--dataset", nargs="+", help="only these graphs")
    runs.add_argument("--root", type=Path, help="folder of data sets")
    commands.add_parser("report", help="write tables and figures from the results")
    arguments = parser.parse_args()
    if arguments.command == "report":
        if not report.write_figures():
            print(
                "matplotlib is not installed, so no figure was drawn; "
                "pip install '.[bench]' brings it"
            )
        report.write_report()
        print(report.PAGE)
        return 0
    experiments = _chosen(load_experiments(), arguments.names)
    failed = run.run_all(experiments, arguments.dataset, arguments.root)
    return 1 if failed else 0


def _chosen(experiments: list[Experiment], names: list[str]) -> list[Experiment]:
    known = [experiment.name for experiment in experiments]
    for name in names:
        if name not in known:
            sys.exit(f"unknown experiment {name!r}: expected one of {', '.join(known)}")
    return [one for one in experiments if not names or one.name in names]


if __name__ == "__main__":
    sys.exit(main())
