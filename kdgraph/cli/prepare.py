"""``kdgraph prepare``: from an edge list of any size to a graph on disk."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdgraph.cli.format import human_bytes
from kdgraph.cli.parser import byte_count
from kdgraph.data import prepare_graph
from kdgraph.data.disk import Prepared
from kdgraph.data.disk.prepare import unordered_path
from kdgraph.data.disk.staging import staging_path


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "prepare",
        help="write a large edge list as a graph on disk",
        description="Write an edge list of any size as a folder that opens at once, "
        "for kdgraph train --dataset DIR. Edges are sorted by target in files, never "
        "all in memory, symmetrised and deduplicated. Killed, the same command goes "
        "on.",
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="FILE.npz, a file of two ids per line (.csv, .tsv, .txt, also with .gz), "
        "FILE.parquet, or a folder as OGB unpacks it",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder to write",
    )
    parser.add_argument(
        "--directed",
        action="store_true",
        help="keep edges one way instead of symmetrising them",
    )
    parser.add_argument(
        "--unweighted",
        action="store_true",
        help="leave the edge_weight of a FILE.npz aside",
    )
    parser.add_argument(
        "--num-nodes",
        type=int,
        metavar="N",
        help="where the input does not say it (default: the largest id, and one)",
    )
    parser.add_argument(
        "--order",
        metavar="RECIPE",
        help="renumber the nodes in the order of a partition, such as tree:16x16; it "
        "implies codes order:16x16 and place:... then, and original_ids.npy keeps the "
        "ids that nodes had",
    )
    parser.add_argument(
        "--memory",
        type=byte_count,
        default="2GiB",
        metavar="BYTES",
        help="what edges may take at once",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a graph that is there"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Build the graph, and say what it holds."""
    began = time.perf_counter()
    # What an interruption leaves, for the sentence about it.
    first = arguments.output
    if arguments.order is not None:
        first = unordered_path(first)
    arguments.save = staging_path(first)
    with tqdm(
        total=1.0,
        file=sys.stderr,
        disable=None,
        leave=False,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]",
    ) as bar:
        shown = ""

        def on_progress(done: float, stage: str) -> None:
            nonlocal shown
            if stage != shown:
                shown = stage
                bar.reset(total=1.0)
                bar.set_description(stage, refresh=False)
            bar.update(done - bar.n)

        done = prepare_graph(
            arguments.input,
            arguments.output,
            directed=arguments.directed,
            num_nodes=arguments.num_nodes,
            order=arguments.order,
            memory=arguments.memory,
            unweighted=arguments.unweighted,
            force=arguments.force,
            progress=on_progress,
        )
    print(_summary(arguments.output, done, time.perf_counter() - began))


def _summary(output: Path, done: Prepared, seconds: float) -> str:
    meta = done.meta
    direction = "edges one way" if meta.directed else "edges, both ways"
    size = f"{human_bytes(meta.nbytes)} on disk, {seconds:.1f} s"
    dropped = f"{done.repeated:,} repeated ones dropped"
    lines = [
        f"{output}: {meta.num_nodes:,} nodes, {meta.num_edges:,} {direction}, {size}",
        f"{done.edges_read:,} edges read, {dropped}, {done.self_loops:,} self-loops",
        *(f"note: {note}" for note in meta.notes),
    ]
    if meta.order is not None:
        lines.append(
            f"note: stored in the order {meta.order}; {output / 'original_ids.npy'} "
            "holds the id that each node had"
        )
    if meta.num_classes is None:
        lines.append("note: no labels in the input; kdgraph train needs them")
    return "\n".join(lines)
