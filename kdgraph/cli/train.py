"""``kdgraph train``: train, compare, record."""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from kdgraph.cli.format import human_bytes, text_table
from kdgraph.data import Graph, load_graph
from kdgraph.training import (
    MethodResult,
    Runner,
    TrainConfig,
    Trainer,
    recipe_name,
    resolve_config,
)
from kdgraph.training.checkpoint import write_json
from kdgraph.training.config import CODERS, COMPOSERS, GUIDANCE, METHODS, MODELS

DATASETS = "sbm, cora, citeseer, pubmed, ogbn-arxiv, ogbn-products, ogbn-papers100M"


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train node codes (or a rival) and a GNN on a graph",
        description="Train node codes and a GNN full-batch on a graph without features, "
        "keep the epoch that is best on validation, and print accuracy and bytes. "
        "What is not given follows the graph: few or many training labels.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset", default="sbm", help=f"{DATASETS}, or the path of a FILE.npz"
    )
    data.add_argument(
        "--root", help="folder of data sets (default: $KDGRAPH_DATA, else a cache)"
    )
    data.add_argument(
        "--directed", action="store_true", help="keep edges as they are directed"
    )
    method = parser.add_argument_group("method")
    method.add_argument("--method", default="kd", choices=METHODS)
    method.add_argument(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        choices=METHODS,
        metavar="METHOD",
        help="methods to train beside it: full, lowrank, labelprop",
    )
    method.add_argument("--coder", default="softmax", choices=CODERS)
    method.add_argument("--composer", default="concat", choices=COMPOSERS)
    method.add_argument("--guidance", default="none", choices=GUIDANCE)
    method.add_argument("--num-codebooks", type=int, metavar="D")
    method.add_argument(
        "--codebook-size",
        type=_sizes,
        metavar="K[,K...]",
        help="choices per position: one number, or one per position",
    )
    method.add_argument(
        "--query-dim",
        type=_query_dim,
        metavar="R",
        help="numbers per node and position behind a learned code; 'free' for a logit "
        "per choice",
    )
    method.add_argument(
        "--codes",
        default="random",
        help="of --coder fixed: random, compact, or a .npy or .npz file",
    )
    method.add_argument(
        "--no-null-code",
        dest="null_code",
        action="store_false",
        help="let choice 0 of a position be a codeword like the others",
    )
    method.add_argument("--code-dropout", type=float, default=0.0, metavar="P")
    method.add_argument("--rank", type=int, help="of --method lowrank")
    method.add_argument(
        "--max-bytes", type=int, help="byte budget of --method lowrank"
    )
    method.add_argument(
        "--dim", type=int, default=TrainConfig.dim, metavar="C", help="embedding width"
    )
    model = parser.add_argument_group("model and optimisation")
    model.add_argument("--model", default="gcn", choices=MODELS)
    model.add_argument("--hidden-dim", type=int)
    model.add_argument("--num-layers", type=int)
    model.add_argument("--dropout", type=float)
    model.add_argument("--input-dropout", type=float)
    model.add_argument("--lr", type=float, default=TrainConfig.lr)
    model.add_argument("--weight-decay", type=float)
    model.add_argument("--guidance-weight", type=float, default=1.0)
    model.add_argument("--guidance-mix", type=float, default=0.5)
    model.add_argument("--entropy-weight", type=float, default=0.0)
    model.add_argument("--epochs", type=int, metavar="n")
    model.add_argument(
        "--patience", type=int, help="epochs without a better validation score"
    )
    model.add_argument("--seeds", type=int, default=1, metavar="n")
    model.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="OUT", help="write the result here")
    output.add_argument(
        "--save",
        type=Path,
        metavar="RUN_DIR",
        help="keep checkpoints and models; the same command goes on from them",
    )
    output.add_argument("--quiet", action="store_true", help="only the final table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train every method asked for, and print the table."""
    if arguments.seeds < 1:
        raise ValueError(f"--seeds is at least 1, got {arguments.seeds}")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        raise ValueError(f"--json: the folder {arguments.json.parent} does not exist")
    device = _device(arguments.device)
    config = _config(arguments)
    graph = load_graph(arguments.dataset, arguments.root, directed=arguments.directed)
    compared = list(dict.fromkeys(m for m in arguments.compare if m != config.method))
    if not arguments.quiet:
        _print_plan(graph, config)
    results = [_train(arguments, graph, config, device, arguments.save)]
    for name in compared:
        rival = config.replace(method=name, guidance="none", entropy_weight=0.0)
        save = arguments.save and arguments.save / f"compare-{name}"
        results.append(_train(arguments, graph, rival, device, save))
    print(_table(results))
    if arguments.json is not None:
        first, *others = (result.as_dict() for result in results)
        compare = {other["method"]: other for other in others}
        write_json(arguments.json, first | {"compare": compare})


def _train(
    arguments: argparse.Namespace,
    graph: Graph,
    config: TrainConfig,
    device: torch.device,
    save: Path | None,
) -> MethodResult:
    runner = Runner(graph, config, save=save, device=device)
    epochs = runner.config.epochs or 0
    # tqdm shows nothing by itself where the output is no terminal.
    hidden = True if arguments.quiet else None
    with tqdm(
        total=arguments.seeds * epochs,
        desc=config.method,
        unit="epoch",
        file=sys.stderr,
        disable=hidden,
    ) as bar:

        def on_epoch(seed: int, trainer: Trainer) -> None:
            # Early stopping and finished seeds leave gaps, which the next epoch fills.
            bar.update(seed * epochs + trainer.progress.epoch - bar.n)
            bar.set_postfix(
                seed=seed,
                loss=f"{trainer.progress.losses[-1]:.3f}",
                valid=f"{100 * trainer.progress.best_valid:.1f}",
            )

        return runner.run(arguments.seeds, on_epoch)


def _config(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration that the arguments ask for."""
    names = TrainConfig.__dataclass_fields__
    given = {key: value for key, value in vars(arguments).items() if key in names}
    return TrainConfig(**given)


def _print_plan(graph: Graph, config: TrainConfig) -> None:
    chosen = resolve_config(config, graph)
    print(
        f"{graph.name}: {graph.num_nodes:,} nodes, {graph.num_edges:,} edges, "
        f"{graph.num_classes} {'labels' if graph.multi_label else 'classes'}, "
        f"{graph.train_idx.numel():,} / {graph.valid_idx.numel():,} / "
        f"{graph.test_idx.numel():,} training / validation / test nodes"
    )
    for note in graph.notes:
        print(f"note: {note}")
    print(
        f"{recipe_name(graph)}: {chosen.model} {chosen.num_layers} x "
        f"{chosen.hidden_dim}, weight decay {chosen.weight_decay:g}, at most "
        f"{chosen.epochs} epochs"
    )


def _table(results: list[MethodResult]) -> str:
    metric = results[0].graph.metric
    header = [
        "method",
        f"test {metric}",
        "valid",
        "bytes",
        "compression",
        "training bytes",
        "peak memory",
        "s/epoch",
    ]
    return text_table(header, [_row(result) for result in results])


def _row(result: MethodResult) -> list[str]:
    found = result.as_dict()
    ratio = result.compression_ratio
    share = result.training_bytes / (4 * result.full_bytes)
    return [
        _label(result.config),
        _score(found["test_score"]),
        _score(found["valid_score"]),
        human_bytes(result.inference_bytes),
        f"{ratio:.1f}x" if ratio is not None else "-",
        f"{human_bytes(result.training_bytes)} ({100 * share:.0f} %)",
        human_bytes(result.peak_rss_bytes),
        f"{result.seconds_per_epoch:.3f}",
    ]


def _label(config: TrainConfig) -> str:
    if config.method != "kd":
        return config.method
    sizes = config.codebook_size
    size = sizes if isinstance(sizes, int) else "mixed"
    guided = "" if config.guidance == "none" else f" {config.guidance}"
    return f"kd {config.coder} {config.num_codebooks}x{size}{guided}"


def _score(score: dict[str, Any]) -> str:
    if len(score["seeds"]) == 1:
        return f"{100 * score['mean']:.1f}"
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"


def _sizes(text: str) -> int | tuple[int, ...]:
    """One size, or one per position separated by commas."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or numbers separated by commas, got {text!r}"
        ) from None
    return sizes if len(sizes) > 1 else sizes[0]


def _query_dim(text: str) -> int:
    """A width, or 0 for free logits."""
    if text == "free":
        return 0
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or 'free', got {text!r}"
        ) from None


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device: unknown device {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device: this torch sees no CUDA device; use --device cpu")
    return device
