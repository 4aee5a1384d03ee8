"""Do one task on a graph; its own process, so that its peak memory is its own."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clock import Clock
from benchmarks.process import leave_result
from benchmarks.scale.codes import codes
from benchmarks.scale.exchange import LAYOUTS, exchange
from benchmarks.scale.prepare import draw, prepare
from benchmarks.scale.sample import sample
from benchmarks.scale.setting import Setting
from benchmarks.scale.train import infer, train
from kdgraph.training.peak_memory import peak_rss_bytes

Task = Callable[[Setting, Path, Clock], dict[str, Any]]

TASKS: dict[str, Task] = {
    "draw": draw,
    "prepare": prepare,
    "sample": sample,
    "codes": codes,
    "train": train,
    "table": partial(train, kind="table"),
    "infer": infer,
    **{name: partial(exchange, layout=layout) for name, layout in LAYOUTS.items()},
}


def measure(folder: Path, name: str) -> dict[str, Any]:
    """Do a task, and add the peak memory of the process, unless others did it."""
    clock = Clock(quiet=not sys.stdout.isatty())
    found = TASKS[name](Setting.load(folder), folder, clock)
    if not clock.quiet:
        print("\r" + " " * 40, end="\r")
    return {"status": "ok", "peak_rss_bytes": peak_rss_bytes(), **found}


def main() -> int:
    """Do it, and say how it ended; a task that fails has a result too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--memory", type=int, help="bytes it may take")
    arguments = parser.parse_args()
    leave_result(
        lambda: measure(arguments.folder, arguments.task),
        arguments.folder / f"{arguments.task}.json",
        arguments.memory,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
