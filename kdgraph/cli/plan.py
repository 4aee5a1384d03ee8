"""``kdgraph plan``: bytes of every method, before training."""

import argparse
from typing import Any

from kdgraph.cli.format import human_bytes, text_table
from kdgraph.cli.parser import fanout, sizes
from kdgraph.coders import default_query_dim
from kdgraph.training import TrainConfig, plan
from kdgraph.training.choose_batching import BATCH_SIZE, FANOUT
from kdgraph.training.large_plan import DIGITS, measured_costs, plan_large
from kdgraph.training.plan import PlanRow, graph_bytes
from kdgraph.training.plan_rivals import Unfit, plan_rivals
from kdgraph.training.recipes import DEFAULT_CODEBOOK_SIZE, default_codebooks
from kdgraph.training.rivals import DEFAULT_COMPRESSION, DEFAULT_RANK

HEADER = (
    "method",
    "stored",
    "of full",
    "training",
    "of full",
    "per node",
    "stored in order",
)


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan",
        help="print what every method would store and train",
        description="Print the exact bytes that every method stores and, with Adam in "
        "float32, trains, for a graph of N nodes and vectors of width C. Nothing is "
        "allocated.",
    )
    parser.add_argument(
        "--num-nodes", type=int, required=True, metavar="N", help="nodes of the graph"
    )
    parser.add_argument(
        "--dim",
        type=int,
        default=TrainConfig.dim,
        metavar="C",
        help="width of a node's vector",
    )
    parser.add_argument(
        "--num-edges",
        type=int,
        metavar="E",
        help="undirected edges; adds the bytes of the graph itself",
    )
    parser.add_argument(
        "--num-codebooks",
        type=int,
        metavar="D",
        help="positions of a code; divides C (default: what kdgraph train takes where "
        "labels are many)",
    )
    parser.add_argument(
        "--codebook-size",
        type=sizes,
        default=DEFAULT_CODEBOOK_SIZE,
        metavar="K[,K...]",
        help="choices per position: one number, or one per position",
    )
    parser.add_argument(
        "--query-dim",
        type=int,
        metavar="R",
        help="numbers trained per node and position (default: one per bit)",
    )
    parser.add_argument(
        "--rank",
        type=int,
        default=DEFAULT_RANK,
        metavar="R",
        help="of the low-rank table",
    )
    rivals = parser.add_mutually_exclusive_group()
    rivals.add_argument(
        "--compression",
        type=float,
        default=DEFAULT_COMPRESSION,
        metavar="X",
        help="of rivals: at least so many times smaller than a table",
    )
    rivals.add_argument(
        "--max-bytes",
        type=int,
        metavar="B",
        help="of rivals: the largest that fits, instead",
    )
    large = parser.add_argument_group(
        "training on a large graph, with --num-edges: hours from measured costs"
    )
    large.add_argument(
        "--num-train",
        type=int,
        metavar="n",
        help="training nodes (default: a hundredth of all)",
    )
    large.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        metavar="B",
        help="training nodes of a mini-batch",
    )
    large.add_argument(
        "--fanout",
        type=fanout,
        default=FANOUT[:2],
        metavar="n[,n...]",
        help="neighbours that each layer draws (default: 15,10)",
    )
    large.add_argument("--epochs", type=int, default=20, metavar="n", help="how many")
    large.add_argument(
        "--machines",
        type=int,
        nargs="+",
        default=[1, 4],
        metavar="n",
        help="for how many the hours are wanted (default: 1 4)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    num_nodes, dim, size = arguments.num_nodes, arguments.dim, arguments.codebook_size
    rows = plan(
        num_nodes,
        dim,
        num_codebooks=_num_codebooks(arguments),
        codebook_size=size,
        query_dim=default_query_dim(size)
        if arguments.query_dim is None
        else arguments.query_dim,
        rank=arguments.rank,
    )
    rivals = plan_rivals(
        num_nodes,
        dim,
        compression=arguments.compression,
        max_bytes=arguments.max_bytes,
    )
    edges = arguments.num_edges
    graph = None if edges is None else graph_bytes(num_nodes, edges)
    large = None if edges is None else _large(arguments)
    full = rows[0]
    print(f"{num_nodes:,} nodes, {dim} channels, float32, Adam")
    print(
        text_table(
            HEADER,
            [_cells(row, full, num_nodes) for row in rows],
        )
    )
    _print_rivals(rivals, full, num_nodes)
    if graph is not None:
        print(
            f"\nthe graph itself, {edges:,} undirected edges as normalised CSR: "
            f"{human_bytes(graph)}"
        )
        print(f"\n{large}")


def _print_rivals(rivals: list[PlanRow | Unfit], full: PlanRow, num_nodes: int) -> None:
    """A row for each, and why those do not fit that do not."""
    rows = []
    for row in rivals:
        if isinstance(row, PlanRow):
            rows.append(_cells(row, full, num_nodes))
        else:
            rows.append([row.method, "does not fit", *["-"] * (len(HEADER) - 2)])
    print("\nrivals by --method, those whose size can be chosen in the bytes allowed")
    print(text_table(HEADER, rows))
    for row in rivals:
        if isinstance(row, Unfit):
            print(f"{row.method}: {row.reason}")


def _cells(row: PlanRow, full: PlanRow, num_nodes: int) -> list[str]:
    return [
        row.method,
        human_bytes(row.inference_bytes),
        _share(row.inference_bytes, full.inference_bytes),
        human_bytes(row.training_bytes),
        _share(row.training_bytes, full.training_bytes),
        f"{row.inference_bytes / num_nodes:.1f} B",
        "-"
        if row.inference_bytes_in_order == row.inference_bytes
        else human_bytes(row.inference_bytes_in_order),
    ]


def _large(arguments: argparse.Namespace) -> str:
    """Stages, disk, memory and hours."""
    stages = plan_large(
        arguments.num_nodes,
        arguments.num_edges,
        dim=arguments.dim,
        num_train=arguments.num_train,
        batch_size=arguments.batch_size,
        fanout=arguments.fanout,
        epochs=arguments.epochs,
        machines=tuple(arguments.machines),
    )
    costs = measured_costs()
    header = ["stage", "on disk", "peak memory"]
    for count in arguments.machines:
        header.append(f"hours, {count} machine{'s' if count > 1 else ''}")
    rows = [
        [
            stage.name,
            human_bytes(stage.disk_bytes) if stage.disk_bytes else "-",
            human_bytes(stage.memory_bytes),
            *(f"{hours:.2f}" for hours in stage.hours),
        ]
        for stage in stages
    ]
    return (
        f"GraphSAGE in mini-batches of {arguments.batch_size:,}, fan-out "
        f"{','.join(map(str, arguments.fanout))}, {arguments.epochs} epochs, codes of "
        f"{DIGITS} bytes a node; by what {costs.nodes:,} nodes took on {costs.cores} "
        f"cores\n{text_table(header, rows)}"
    )


def _num_codebooks(arguments: argparse.Namespace) -> int:
    given: int | None = arguments.num_codebooks
    if given is not None:
        return given
    if isinstance(arguments.codebook_size, tuple):
        return len(arguments.codebook_size)
    return default_codebooks(arguments.dim) if arguments.dim > 0 else 1


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"
