"""What ``kdgraph train`` prints: the graph before, the table after."""

from collections.abc import Sequence
from typing import Any

from kdgraph.cli.format import human_bytes, text_table
from kdgraph.data import Graph
from kdgraph.training import MethodResult, TrainConfig, recipe_name
from kdgraph.training.choose_batching import describe_batching
from kdgraph.training.config import STRUCTURAL


def describe(graph: Graph, config: TrainConfig) -> str:
    """The graph, what was dropped of it, and what the recipe chose."""
    summary = (
        f"{graph.name}: {graph.num_nodes:,} nodes, {graph.num_edges:,} edges, "
        f"{graph.num_classes} {'labels' if graph.multi_label else 'classes'}, "
        f"{graph.train_idx.numel():,} / {graph.valid_idx.numel():,} / "
        f"{graph.test_idx.numel():,} training / validation / test nodes"
    )
    lines = [summary, *(f"note: {note}" for note in graph.notes)]
    if config.method != "labelprop":
        if graph.weighted and config.model != "gcn":
            lines.append(
                f"note: {config.model} counts every edge once; weights are used by "
                "codes and label propagation"
            )
        lines.append(
            f"{recipe_name(graph)}: {config.model} {config.num_layers} x "
            f"{config.hidden_dim}, weight decay {config.weight_decay:g}, at most "
            f"{config.epochs} epochs"
        )
        lines.append(describe_batching(config, graph))
    return "\n".join(lines)


def result_table(results: Sequence[MethodResult]) -> str:
    """A row for every method."""
    header = [
        "method",
        f"test {results[0].metric}",
        "with label head",
        "valid",
        "bytes",
        "compression",
        "stored in order",
        "training bytes",
        "peak memory",
        "s/epoch",
    ]
    return text_table(header, [_row(result) for result in results])


def exchange(results: Sequence[MethodResult]) -> str:
    """What processes that train together gave each other."""
    lines = []
    for result in results:
        one = result.seeds[0]
        if one.processes == 1:
            continue  # nothing was trained
        lines.append(
            f"{label(result.config)}: {one.processes} processes, each gave the others "
            f"{human_bytes(round(one.bytes_per_step))} in a step"
        )
    return "\n".join(lines)


def label(config: TrainConfig) -> str:
    """A method in a few words.

    Example:
        >>> label(TrainConfig(num_codebooks=3, codebook_size=(3, 5, 7)))
        'kd softmax 3x(3,5,7)'
    """
    if config.method != "kd":
        return config.method
    size = config.codebook_size
    if isinstance(size, tuple):
        size_text = f"({','.join(map(str, size))})" if len(size) < 5 else "mixed"
    else:
        size_text = str(size)
    guided = "" if config.guidance in (None, "none") else f" {config.guidance}"
    if config.coder in STRUCTURAL and config.codes is not None:
        return f"kd {config.coder} {config.codes}{guided}"
    return f"kd {config.coder} {config.num_codebooks}x{size_text}{guided}"


def _row(result: MethodResult) -> list[str]:
    found = result.as_dict()
    ratio = result.compression_ratio
    share = result.training_bytes / found["full_training_bytes"]
    peak = result.peak_rss_bytes
    return [
        label(result.config),
        _score(found["test_score"]),
        _score(found["label_head"]["test_score"]) if found["label_head"] else "-",
        _score(found["valid_score"]),
        human_bytes(result.inference_bytes),
        f"{ratio:.1f}x" if ratio is not None else "-",
        _in_order(result),
        f"{human_bytes(result.training_bytes)} ({100 * share:.0f} %)",
        human_bytes(peak) if peak else "-",
        f"{result.seconds_per_epoch:.3f}",
    ]


def _in_order(result: MethodResult) -> str:
    """What is kept where the graph is stored in the order that implies codes."""
    kept, ratio = result.inference_bytes_in_order, result.compression_ratio_in_order
    if kept == result.inference_bytes or ratio is None:
        return "-"
    return f"{human_bytes(kept)} ({ratio:.1f}x)"


def _score(score: dict[str, Any]) -> str:
    if len(score["seeds"]) == 1:
        return f"{100 * score['mean']:.1f}"
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"
