"""``kdgraph export``: from a run to one file."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdgraph.artifact import read_artifact
from kdgraph.cli.format import human_bytes
from kdgraph.ops import inverse_order
from kdgraph.packed import PackedEmbedding
from kdgraph.training.run_dir import (
    IDENTITY,
    artifact_path,
    finished_seeds,
    order_path,
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
    parser.add_argument(
        "--original-ids",
        action="store_true",
        help="where nodes are stored in an order of their own: keep 4 bytes per node "
        "more, so that the file takes the ids of the graph",
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
    rows, order = artifact.rows, order_path(folder, seed)
    metadata = artifact.metadata
    if order.exists() and arguments.original_ids:
        given = read_json(folder / IDENTITY).get("graph", {})
        metadata = metadata | {"graph_fingerprint": given.get("fingerprint")}
        rows = _rows(order, artifact.table.num_nodes)
    encoder = PackedEmbedding(artifact.table, artifact.composer, rows)
    encoder.save(arguments.output, gnn=artifact.gnn, metadata=metadata)
    size = arguments.output.stat().st_size
    print(
        f"{arguments.output}: seed {seed}, {human_bytes(encoder.inference_bytes())} of "
        f"codes and codebooks, {human_bytes(size)} in all"
    )
    if order.exists() and rows is None:
        print(
            f"note: its ids are rows in the order of {order}; --original-ids keeps the "
            "graph's"
        )


def _rows(path: Path, num_nodes: int) -> Tensor:
    """The row of each node, from the node of each row.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        order = torch.from_numpy(np.load(path, allow_pickle=False))
        rows = inverse_order(order)
    except (OSError, TypeError, ValueError, IndexError, EOFError) as error:
        raise ValueError(f"{path} is no order of nodes: {error}") from error
    if rows.numel() != num_nodes:
        raise ValueError(f"{path} orders {rows.numel()} nodes, expected {num_nodes}")
    return rows


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
