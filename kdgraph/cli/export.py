"""``kdgraph export``: from a run to one file."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdgraph.artifact import Artifact, read_artifact
from kdgraph.cli.format import human_bytes
from kdgraph.codes import CodeTable
from kdgraph.ops import inverse_order
from kdgraph.packed import PackedEmbedding
from kdgraph.training.model_file import GRAPH_ORDER, PLACE_ORDER
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
    ids = parser.add_mutually_exclusive_group()
    ids.add_argument(
        "--rows",
        action="store_true",
        help="where an order of the nodes implies codes: leave out the map from ids of "
        "the graph to places in that order, so that the file takes places for ids",
    )
    ids.add_argument(
        "--original-ids",
        action="store_true",
        help="the default: files take the ids of the graph",
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
    artifact = _artifact(folder, seed)
    if arguments.original_ids:
        print(
            "warning: --original-ids is what kdgraph export does anyway, and will go",
            file=sys.stderr,
        )
    table, metadata = _by_ids(artifact, folder, seed)
    if arguments.rows:
        table, metadata = _by_places(table, metadata, folder)
    encoder = PackedEmbedding(table, artifact.composer)
    encoder.save(arguments.output, gnn=artifact.gnn, metadata=metadata)
    size = arguments.output.stat().st_size
    parts = "codes and codebooks"
    if table.prefix is not None and table.prefix.map_bytes:
        parts = (
            f"codes, codebooks and the map from ids to places "
            f"({human_bytes(table.prefix.map_bytes)})"
        )
    print(
        f"{arguments.output}: seed {seed}, {human_bytes(encoder.inference_bytes())} of "
        f"{parts}, {human_bytes(size)} in all"
    )
    if arguments.rows:
        print(
            "note: its ids are places; graph.permuted(order) has them, with order the "
            f"prefix.order() of {artifact_path(folder, seed)}"
        )


def _by_ids(
    artifact: Artifact, folder: Path, seed: int
) -> tuple[CodeTable, dict[str, Any]]:
    """Codes by the ids of the graph, of folders of older versions too."""
    order = order_path(folder, seed)
    if not artifact.lacks_map or not order.exists():
        return artifact.table, artifact.metadata
    given = read_json(folder / IDENTITY).get("graph", {})
    metadata = artifact.metadata | {"graph_fingerprint": given.get("fingerprint")}
    places = _places(order, artifact.num_nodes)
    return artifact.table.reordered(places), metadata


def _by_places(
    table: CodeTable, metadata: dict[str, Any], folder: Path
) -> tuple[CodeTable, dict[str, Any]]:
    """The same without the map, the checksum that of the graph in this order.

    Raises:
        ValueError: No order implies any of the codes, or the graph is stored in it.
    """
    if table.prefix is None or not table.prefix.map_bytes:
        why = "no order of the nodes implies any of its codes"
        if table.prefix is not None:
            why = "its graph is stored in the order that implies codes"
        raise ValueError(
            f"{folder} has no map to leave out: {why}; leave --rows out instead"
        )
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in ("graph_fingerprint", GRAPH_ORDER, PLACE_ORDER)
    }
    if PLACE_ORDER in metadata:
        kept[GRAPH_ORDER] = metadata[PLACE_ORDER]
    return table.reordered(table.prefix.order()), kept


def _places(path: Path, num_nodes: int) -> Tensor:
    """The place of each node, from the node at each place.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        order = torch.from_numpy(np.load(path, allow_pickle=False))
        places = inverse_order(order)
    except (OSError, TypeError, ValueError, IndexError, EOFError) as error:
        raise ValueError(f"{path} is no order of nodes: {error}") from error
    if places.numel() != num_nodes:
        raise ValueError(f"{path} orders {places.numel()} nodes, expected {num_nodes}")
    return places


def _artifact(folder: Path, seed: int) -> Artifact:
    """The model of a finished seed.

    Raises:
        ValueError: It is missing or damaged; the sentence says how to get it again.
    """
    try:
        return read_artifact(artifact_path(folder, seed), verify=True)
    except ValueError as error:
        raise ValueError(
            f"{error}; remove {result_path(folder, seed)} and repeat the run's kdgraph "
            "train command to train this seed again"
        ) from error


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
