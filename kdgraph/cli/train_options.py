"""The options of ``kdgraph train``."""

import argparse
from pathlib import Path
from typing import Any

from kdgraph.cli.parser import byte_count, fanout, query_dim, sizes
from kdgraph.training import TrainConfig
from kdgraph.training.choose_batching import BATCH_SIZE, CLUSTER_NODES, FANOUT
from kdgraph.training.config import (
    BATCHING,
    CODERS,
    COMPOSERS,
    GUIDANCE,
    JUMPING,
    METHODS,
    MODELS,
    PRECISION,
    STORAGE,
)
from kdgraph.training.metric import METRICS
from kdgraph.training.rivals import DEFAULT_COMPRESSION, DEFAULT_RANK

DATASETS = (
    "sbm, cora, citeseer, pubmed, ogbn-arxiv, ogbn-products, ogbn-papers100M, "
    "arxiv-year, dblp, blogcatalog, pos-wikipedia, lastfm-asia, github, tolokers, "
    "minesweeper, cornell5"
)


def declare(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and everything it takes."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train node codes (or a rival) and a GNN on a graph",
        description="Train node codes and a GNN on a graph without features, all nodes "
        "at once or in mini-batches, keep the epoch that is best on validation, and "
        "print accuracy and bytes. What is left 'by recipe' follows the graph: few or "
        "many training labels.",
    )
    _data(parser.add_argument_group("data"))
    _method(parser.add_argument_group("method"))
    _codes(parser.add_argument_group("codes, for --method kd"))
    _guidance(parser.add_argument_group("guidance, for --method kd"))
    _model(parser.add_argument_group("model and optimisation"))
    _output(parser.add_argument_group("output"))
    return parser


def _data(group: Any) -> None:
    group.add_argument(
        "--dataset",
        default="sbm",
        metavar="NAME",
        help=f"{DATASETS}, or the path of a FILE.npz or of a folder of kdgraph prepare",
    )
    group.add_argument(
        "--root",
        metavar="DIR",
        help="folder of data sets (default: $KDGRAPH_DATA, else ~/.cache/kdgraph)",
    )
    group.add_argument(
        "--directed",
        action="store_true",
        help="keep edges one way instead of symmetrising them",
    )
    group.add_argument(
        "--unweighted",
        action="store_true",
        help="leave edge weights aside, and count every edge once",
    )


def _method(group: Any) -> None:
    group.add_argument(
        "--method",
        default="kd",
        choices=METHODS,
        metavar="METHOD",
        help="codes (kd), a table (full, lowrank), label propagation, which trains "
        f"nothing (labelprop), or a rival: {', '.join(METHODS)}",
    )
    group.add_argument(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        choices=METHODS,
        metavar="METHOD",
        help="train these beside it, named as for --method",
    )
    group.add_argument(
        "--dim",
        type=int,
        default=TrainConfig.dim,
        metavar="C",
        help="width of a node's vector",
    )
    group.add_argument(
        "--rank",
        type=int,
        metavar="R",
        help=f"of --method lowrank (default: {DEFAULT_RANK}) or --composer ring (8)",
    )
    group.add_argument(
        "--max-bytes",
        type=int,
        metavar="B",
        help="of rivals: the largest that fits (default: 1/"
        f"{DEFAULT_COMPRESSION} of the table; --method lowrank: --rank)",
    )


def _codes(group: Any) -> None:
    group.add_argument(
        "--coder",
        default="auto",
        choices=CODERS,
        help="how nodes choose codes: read off the graph in a way that fits it (auto), "
        "given (fixed), given and re-chosen by gradients (refined), or learned",
    )
    group.add_argument(
        "--composer",
        choices=COMPOSERS,
        help="how codewords become a vector (default: sum for codes read off the "
        "graph, else concat)",
    )
    group.add_argument(
        "--num-codebooks",
        type=int,
        metavar="D",
        help="positions of a code (default: by recipe)",
    )
    group.add_argument(
        "--codebook-size",
        type=sizes,
        metavar="K[,K...]",
        help="choices per position: one number, or one per position (default: by "
        "recipe)",
    )
    group.add_argument(
        "--query-dim",
        type=query_dim,
        metavar="R",
        help="numbers trained per node and position; 'free' for a logit per choice "
        "(default: by recipe)",
    )
    group.add_argument(
        "--codes",
        metavar="WHAT",
        help="codes that are given: parts read off the graph like "
        "tree:16x16+spectral:4x64, random, compact, or a .npy or .npz file",
    )
    group.add_argument(
        "--code-dim",
        type=int,
        metavar="d",
        help="width of a codeword, projected to C (default: by recipe)",
    )
    group.add_argument(
        "--storage",
        choices=STORAGE,
        help="how codebooks are stored; they are trained as they will be stored "
        "(default: by recipe)",
    )
    group.add_argument(
        "--bytes-per-node",
        type=float,
        metavar="B",
        help="of --coder auto and rivals: at most so many, codebooks included",
    )
    group.add_argument(
        "--compression",
        type=float,
        metavar="X",
        help="of --coder auto and rivals: at least so many times smaller than a table",
    )
    group.add_argument(
        "--memory",
        type=byte_count,
        default=TrainConfig.memory,
        metavar="BYTES",
        help="that node vectors may take while codes are read off the graph, such as "
        "2G (default: 4G)",
    )
    group.add_argument(
        "--refine-step",
        type=float,
        default=TrainConfig.refine_step,
        metavar="ETA",
        help="how far codes are re-chosen along the gradient",
    )
    group.add_argument(
        "--refine-every",
        type=int,
        default=TrainConfig.refine_every,
        metavar="n",
        help="epochs from one re-assignment to the next",
    )
    group.add_argument(
        "--no-null-code",
        dest="null_code",
        action="store_false",
        help="let choice 0 of a position be a codeword like the others",
    )
    group.add_argument(
        "--code-dropout",
        type=float,
        metavar="P",
        help="probability with which a training step leaves out a position (default: "
        "by recipe)",
    )
    group.add_argument(
        "--entropy-weight",
        type=float,
        default=TrainConfig.entropy_weight,
        metavar="W",
        help="of the entropy of the choices in the loss",
    )


def _guidance(group: Any) -> None:
    group.add_argument(
        "--guidance",
        choices=GUIDANCE,
        help="learn from more than labels: from a full table beside the codes (online) "
        "or before them (pretrained), or without a table from labels spread over the "
        "graph (labelprop) or class scores of a first training (diffusion) "
        "(default: by recipe)",
    )
    group.add_argument(
        "--guidance-weight",
        type=float,
        metavar="W",
        help="of that in the loss (default: by recipe)",
    )
    group.add_argument(
        "--guidance-mix",
        type=float,
        default=TrainConfig.guidance_mix,
        metavar="P",
        help="of online guidance: probability that a step sees a node's codes and not "
        "its teacher",
    )


def _model(group: Any) -> None:
    group.add_argument(
        "--model",
        default="auto",
        choices=("auto", *MODELS),
        help="PyG's network (default: gcn, or sage where nodes have several labels)",
    )
    group.add_argument(
        "--jk",
        choices=JUMPING,
        help="what the classes are read from: the last layer, or all of them side by "
        "side (default: cat where nodes have several labels)",
    )
    group.add_argument(
        "--root-weight",
        action=argparse.BooleanOptionalAction,
        help="of --model sage: whether a layer sees a node's own vector beside the "
        "mean of its neighbours' (default: yes, unless nodes have several labels)",
    )
    recipe: list[tuple[str, type, str, str]] = [
        ("--hidden-dim", int, "H", "width of a hidden layer"),
        ("--num-layers", int, "L", "layers of the network"),
        ("--dropout", float, "P", "between layers"),
        ("--input-dropout", float, "P", "on the vectors of the nodes"),
        ("--weight-decay", float, "W", "of everything but what chooses codes"),
        ("--coder-weight-decay", float, "W", "of what chooses codes"),
        ("--epochs", int, "n", "at most so many"),
        ("--patience", int, "n", "epochs without a better validation score to stop"),
    ]
    for name, kind, metavar, text in recipe:
        group.add_argument(
            name, type=kind, metavar=metavar, help=f"{text} (default: by recipe)"
        )
    group.add_argument(
        "--metric",
        choices=METRICS,
        metavar="NAME",
        help="by which the epoch is picked and methods are compared: "
        f"{', '.join(METRICS)} (default: accuracy, or micro-f1 where nodes have "
        "several labels)",
    )
    group.add_argument(
        "--eval-every",
        type=int,
        default=TrainConfig.eval_every,
        metavar="n",
        help="epochs from one scoring of the validation nodes to the next (default: 1)",
    )
    group.add_argument(
        "--pos-weight",
        type=float,
        default=TrainConfig.pos_weight,
        metavar="P",
        help="where nodes have several labels: a positive of a label that has n "
        "positives for m others weighs (m / n)^P in the loss (default: 0)",
    )
    group.add_argument(
        "--batching",
        choices=BATCHING,
        help="all nodes in one step, or mini-batches: of training nodes and sampled "
        "neighbours, or of random unions of the clusters that the first position of "
        "the codes tells (default: all where the machine has the memory)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="B",
        help=f"training nodes of a mini-batch, or nodes in a union of clusters "
        f"(default: {BATCH_SIZE}, or {CLUSTER_NODES})",
    )
    group.add_argument(
        "--fanout",
        type=fanout,
        metavar="n[,n...]",
        help="neighbours that each layer draws in a mini-batch, those of the training "
        f"nodes first; or 'all' (default: {','.join(map(str, FANOUT))})",
    )
    group.add_argument(
        "--precision",
        default=TrainConfig.precision,
        choices=PRECISION,
        help="of the network's products in training",
    )
    group.add_argument(
        "--lr", type=float, default=TrainConfig.lr, help="learning rate of Adam"
    )
    group.add_argument(
        "--seeds", type=int, default=1, metavar="n", help="repeat with seeds 0 to n - 1"
    )
    group.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ..."
    )


def _output(group: Any) -> None:
    group.add_argument(
        "--json", type=Path, metavar="OUT", help="write the result to this file"
    )
    group.add_argument(
        "--save",
        type=Path,
        metavar="RUN_DIR",
        help="keep checkpoints, results and models here; the same command goes on from "
        "them",
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=15.0,
        metavar="S",
        help="with --save: least time between checkpoints; 0 for every epoch",
    )
    group.add_argument(
        "--quiet", action="store_true", help="no summary, no progress: the table only"
    )
