"""``python -m benchmarks.message_passing [run | gather | epoch | plain | report]``."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.message_passing import report, table
from benchmarks.message_passing.machine import available_cores
from benchmarks.message_passing.runs import Options, prepare, run_setting
from benchmarks.message_passing.setting import (
    ARXIV,
    CHANNELS,
    DEGREES,
    SIZES,
    TINY,
    Setting,
)
from kdgraph.atomic import replacing

AGAIN = "again"
"""Folder of what was measured where a result was kept already; no page reads it."""


def main() -> int:
    """Measure one setting or one per size, or write the page of what was measured."""
    arguments = _parser().parse_args()
    if arguments.command == "report":
        if not report.write_figure():
            print(
                "no figure was drawn: it needs results and matplotlib, which "
                "pip install '.[bench]' brings"
            )
        report.write_page()
        print(report.PAGE)
        return 0
    for setting in _settings(arguments):
        record, path = _measure(setting, arguments)
        print(f"\n{table.text(record)}\n{path}\n", flush=True)
    return 0


def _measure(
    setting: Setting, arguments: argparse.Namespace
) -> tuple[dict[str, Any], Path]:
    options = Options(
        arguments.repeats,
        arguments.rounds,
        arguments.seconds,
        arguments.threads,
        arguments.temporary,
        arguments.timeout,
    )
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        setting = prepare(setting, folder, arguments.root)
        path = _path(arguments, setting)
        print(f"{setting.name}, each in a process of its own:", flush=True)
        record = run_setting(setting, folder, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    return record, path


def _path(arguments: argparse.Namespace, setting: Setting) -> Path:
    results: Path = arguments.results
    path = results / f"{setting.name}.json"
    if path.exists() and not arguments.force:
        path = results / AGAIN / path.name
        print(f"there is a result, which is kept; this one goes to {path}", flush=True)
    return path


def _settings(arguments: argparse.Namespace) -> list[Setting]:
    back = arguments.direction == "both"
    suites = {"run": arguments.direction, "plain": "plain-both" if back else "plain"}
    suite = suites.get(arguments.command, arguments.command)
    size = arguments.size or (ARXIV if suite == "epoch" else "1m")
    if size == ARXIV and suite != "epoch":
        sys.exit("--size arxiv is for epoch")
    if suite == "epoch" and size not in _EPOCH:
        sys.exit(f"epoch expects --size {' or '.join(_EPOCH)}, got {size}")
    known = SIZES | {"tiny": TINY, ARXIV: SIZES["170k"]}
    return [
        Setting(
            suite,
            name,
            *known[name],
            degrees=arguments.degrees,
            channels=arguments.channels,
            num_codebooks=arguments.num_codebooks,
            codebook_size=arguments.codebook_size,
            seed=arguments.seed,
        )
        for name in (SIZES if size == "all" else [size])
    ]


_EPOCH = (ARXIV, "170k", "tiny")
"""Sizes at which a step is compared; the exact scores take a table in float64."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.message_passing")
    parser.add_argument(
        "command",
        nargs="?",
        default="run",
        choices=("run", "gather", "epoch", "plain", "report"),
        help="sums over neighbours (the default), random rows, a training step, sums "
        "without the compiled core, or the page of all results",
    )
    shown = (*SIZES, ARXIV, "all")
    parser.add_argument(
        "--size",
        choices=(*shown, "tiny"),
        metavar=f"{{{','.join(shown)}}}",
        help="nodes of the graph (default: 1m; arxiv for epoch, which needs it in "
        "--root or $KDGRAPH_DATA and is else generated)",
    )
    parser.add_argument("--degrees", choices=DEGREES, default="uniform")
    parser.add_argument("--channels", type=int, choices=CHANNELS, default=128)
    parser.add_argument(
        "--pass",
        dest="direction",
        choices=("forward", "both"),
        default="forward",
        help="run and plain: sums and layers, or forward and backward of a first layer",
    )
    parser.add_argument("--num-codebooks", type=int, default=16)
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1, help="of all rivals")
    parser.add_argument(
        "--seconds",
        type=float,
        default=Options.seconds,
        help="no further repeat begins in a process after so many (default: 3)",
    )
    threads = int(os.environ.get("OMP_NUM_THREADS", available_cores()))
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument(
        "--temporary",
        type=float,
        default=Options.temporary,
        help="leave out rivals that write more bytes beside their result (default: "
        "8e9; PyG's messages are 4 bytes per edge and channel)",
    )
    parser.add_argument(
        "--timeout", type=float, default=Options.timeout, help="of a process, seconds"
    )
    parser.add_argument("--root", type=Path, help="folder of data sets")
    parser.add_argument("--scratch", type=Path, help="folder for inputs meanwhile")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    parser.add_argument("--force", action="store_true", help="overwrite a result")
    return parser


if __name__ == "__main__":
    sys.exit(main())
