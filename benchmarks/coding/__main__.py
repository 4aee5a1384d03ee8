"""``python -m benchmarks.coding run``: generate a graph, and code it."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.coding.code import code
from benchmarks.coding.generate import generate
from kdgraph.atomic import replacing
from kdgraph.training.provenance import git_commit, versions

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run, or do one of the two steps that ``run`` starts in processes of their own."""
    arguments = _parser().parse_args()
    if arguments.command == "generate":
        generate(
            arguments.folder, arguments.num_nodes, arguments.num_edges, arguments.seed
        )
    elif arguments.command == "code":
        found = code(arguments.folder, _options(arguments), quiet=arguments.quiet)
        (arguments.folder / "result.json").write_text(json.dumps(found))
    else:
        print(f"\n{_run(arguments)}")
    return 0


def _run(arguments: argparse.Namespace) -> Path:
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        size = [f"--num-nodes={arguments.num_nodes}"]
        size += [f"--num-edges={arguments.num_edges}", f"--seed={arguments.seed}"]
        _step("generate", folder, size)
        options = _options(arguments)
        given = [
            f"--{key.replace('_', '-')}={value}"
            for key, value in options.items()
            if value is not None
        ]
        _step("code", folder, given + ["--quiet"] * arguments.quiet)
        found = json.loads((folder / "result.json").read_text())
    path: Path | None = arguments.output
    if path is None:
        path = RESULTS / f"{options['method']}-{arguments.num_nodes}.json"
    _write(path, options, found)
    return path


def _write(path: Path, options: dict[str, Any], found: dict[str, Any]) -> None:
    record = {
        "options": options,
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "processor": platform.machine(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        },
        "versions": versions(),
        "git": git_commit(),
        "result": found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps(record, indent=1).encode() + b"\n")


def _step(command: str, folder: Path, arguments: list[str]) -> None:
    # A process of its own: the peak of one step is not the peak of the other.
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.coding", command, str(folder), *arguments],
        check=True,
    )


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("num_codebooks", "codebook_size", "method", "dim", "memory", "seed")
    return {name: getattr(arguments, name) for name in names}


def _parser() -> argparse.ArgumentParser:
    graph = argparse.ArgumentParser(add_help=False)
    graph.add_argument("--num-nodes", type=int, default=10_000_000)
    graph.add_argument("--num-edges", type=int, default=50_000_000)
    seed = argparse.ArgumentParser(add_help=False)
    seed.add_argument("--seed", type=int, default=0)
    coding = argparse.ArgumentParser(add_help=False)
    coding.add_argument("--num-codebooks", type=int, default=8)
    coding.add_argument("--codebook-size", type=int, default=256)
    coding.add_argument("--method", default="auto")
    coding.add_argument("--dim", type=int)
    coding.add_argument("--memory", type=int, default=4 << 30, help="bytes")
    coding.add_argument("--quiet", action="store_true")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coding")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[graph, coding, seed])
    run.add_argument("--output", type=Path, help="JSON file (default: results/)")
    run.add_argument("--scratch", type=Path, help="folder for the graph while it runs")
    commands.add_parser("generate", parents=[graph, seed]).add_argument(
        "folder", type=Path
    )
    commands.add_parser("code", parents=[coding, seed]).add_argument(
        "folder", type=Path
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
