"""``kdgraph export``: from a run to one file."""

import argparse
from pathlib import Path
from typing import Any

from kdgraph.artifact import read_artifact
from kdgraph.cli.format import human_bytes
from kdgraph.packed import PackedEmbedding
from kdgraph.training.run_dir import (
    IDENTITY,
    artifact_path,
    finished_seeds,
    read_json,
    result_path,
)
from kdgraph.training.seed_result import SeedResult


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write the trained codes and network of a run as one file",
        description="Write codes, codebooks, composer and network of the seed that is "
        "best on validation as one safetensors file.",
    )
    parser.add_argument(
        "run_dir", type=Path, metavar="RUN_DIR", help="of kdgraph train --save"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="such as model.kdg.safetensors",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="n",
        help="this seed (default: the best on validation)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Choose the seed, check its artifact, and write it where it was asked for."""
    folder = arguments.run_dir
    results = _results(folder)
    seed = arguments.seed
    if seed is None:
        seed = max(results, key=lambda number: results[number].valid_score)
    if seed not in results:
        raise ValueError(
            f"{folder} has no finished seed {seed}; it has {sorted(results)}"
        )
    artifact = read_artifact(artifact_path(folder, seed), verify=True)
    encoder = PackedEmbedding(artifact.table, artifact.composer, artifact.rows)
    encoder.save(arguments.output, gnn=artifact.gnn, metadata=artifact.metadata)
    size = arguments.output.stat().st_size
    print(
        f"{arguments.output}: seed {seed}, {human_bytes(encoder.inference_bytes())} of "
        f"codes and codebooks, {human_bytes(size)} in all"
    )


def _results(folder: Path) -> dict[int, SeedResult]:
    """The finished seeds of a run that has codes.

    Raises:
        ValueError: There are none.
    """
    seeds = finished_seeds(folder)
    config = read_json(folder / IDENTITY).get("config")
    method = config.get("method") if isinstance(config, dict) else None
    if method != "kd":
        raise ValueError(
            f"{folder} holds a run of method {method!r}, which has no codes to export; "
            "train with --method kd"
        )
    if not seeds:
        raise ValueError(
            f"{folder} has no finished seed yet; repeat its kdgraph train command to "
            "finish it"
        )
    return {seed: SeedResult.read(result_path(folder, seed)) for seed in seeds}
