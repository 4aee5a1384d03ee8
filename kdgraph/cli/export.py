"""``kdgraph export``: from a run to one file."""

import argparse
from pathlib import Path
from typing import Any

from kdgraph.artifact import read_artifact
from kdgraph.cli.format import human_bytes
from kdgraph.packed import PackedEmbedding
from kdgraph.training.run_dir import IDENTITY, finished_seeds, read_json


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write the trained codes and network of a run as one file",
        description="Write codes, codebooks, composer and network of the seed that is "
        "best on validation as one safetensors file.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="such as model.kdg.safetensors",
    )
    parser.add_argument(
        "--seed", type=int, help="this seed (default: the best on validation)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Choose the seed, check its artifact, and write it where it was asked for."""
    folder = arguments.run_dir
    finished = dict(finished_seeds(folder))
    method = read_json(folder / IDENTITY).get("config", {}).get("method")
    if method != "kd":
        raise ValueError(
            f"{folder} holds a run of method {method!r}, which has no codes to export; "
            "train with --method kd"
        )
    if not finished:
        raise ValueError(
            f"{folder} has no finished seed yet; repeat its kdgraph train command to "
            "finish it"
        )
    seed = arguments.seed
    if seed is None:
        seed = max(finished, key=lambda number: finished[number]["valid_score"])
    if seed not in finished:
        raise ValueError(f"{folder} has no seed {seed}; it has {sorted(finished)}")
    artifact = read_artifact(folder / f"seed-{seed}.kdg.safetensors", verify=True)
    encoder = PackedEmbedding(artifact.table, artifact.composer)
    encoder.save(arguments.output, gnn=artifact.gnn, metadata=artifact.metadata)
    size = arguments.output.stat().st_size
    print(
        f"{arguments.output}: seed {seed}, {human_bytes(encoder.inference_bytes())} of "
        f"codes and codebooks, {human_bytes(size)} in all"
    )
