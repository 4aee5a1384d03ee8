"""``kdgraph plan``: bytes of every method, before training."""

import argparse
from typing import Any

from kdgraph.cli.format import human_bytes, text_table
from kdgraph.training import plan
from kdgraph.training.recipes import DEFAULT_CODEBOOK_SIZE, DEFAULT_CODEBOOKS


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan",
        help="print what every method would store and train",
        description="Print the exact bytes that every method stores and, with Adam in "
        "float32, trains, for a graph of N nodes and vectors of width C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--num-nodes", type=int, required=True, metavar="N")
    parser.add_argument("--dim", type=int, default=128, metavar="C")
    parser.add_argument(
        "--num-edges", type=int, metavar="E", help="adds the bytes of the graph itself"
    )
    parser.add_argument(
        "--num-codebooks", type=int, default=DEFAULT_CODEBOOKS, metavar="D"
    )
    parser.add_argument(
        "--codebook-size", type=int, default=DEFAULT_CODEBOOK_SIZE, metavar="K"
    )
    parser.add_argument("--query-dim", type=int, default=1, metavar="R")
    parser.add_argument("--rank", type=int, default=4)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    rows = plan(
        arguments.num_nodes,
        arguments.dim,
        num_codebooks=arguments.num_codebooks,
        codebook_size=arguments.codebook_size,
        query_dim=arguments.query_dim,
        rank=arguments.rank,
    )
    full = rows[0]
    print(f"{arguments.num_nodes:,} nodes, {arguments.dim} channels, float32, Adam")
    print(
        text_table(
            ["method", "stored", "of full", "training", "of full", "per node"],
            [
                [
                    row.method,
                    human_bytes(row.inference_bytes),
                    _share(row.inference_bytes, full.inference_bytes),
                    human_bytes(row.training_bytes),
                    _share(row.training_bytes, full.training_bytes),
                    f"{row.inference_bytes / arguments.num_nodes:.1f} B",
                ]
                for row in rows
            ],
        )
    )
    if arguments.num_edges is not None:
        if arguments.num_edges < 0:
            raise ValueError(f"num_edges is at least 0, got {arguments.num_edges}")
        # A symmetric CSR: a column and a weight for both directions, and row starts.
        wide = 2 * arguments.num_edges >= 2**31
        index = 8 if wide else 4
        graph = 2 * arguments.num_edges * (index + 4) + index * (arguments.num_nodes + 1)
        print(
            f"the graph itself, {arguments.num_edges:,} undirected edges as normalised "
            f"CSR: {human_bytes(graph)}"
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"
