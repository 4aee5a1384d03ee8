"""Recipes: what a configuration leaves open, decided by the graph."""

from typing import Any

from kdgraph.coders import default_query_dim
from kdgraph.codes import CodeTable
from kdgraph.data import Graph
from kdgraph.training.config import TrainConfig

MANY_LABELS = 5_000
"""Training nodes from which a graph gets the deeper network without weight decay."""

# Chosen on validation: few labels on the three Planetoid graphs, many on ogbn-arxiv.
_FEW: dict[str, Any] = {
    "hidden_dim": 64,
    "num_layers": 2,
    "norm": "none",
    "dropout": 0.5,
    "input_dropout": 0.5,
    "weight_decay": 5e-4,
    "coder_weight_decay": 5e-5,
    "epochs": 150,
    "patience": 50,
}
_MANY: dict[str, Any] = {
    "hidden_dim": 128,
    "num_layers": 3,
    "norm": "batch_norm",
    "dropout": 0.5,
    "input_dropout": 0.0,
    "weight_decay": 0.0,
    "coder_weight_decay": 0.0,
    "epochs": 80,
    "patience": 20,
}


def resolve_config(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Fill in what is ``None`` for this graph.

    Args:
        config: What the user asked for.
        graph: Where it is trained; the number of training nodes decides.
    """
    recipe = _MANY if has_many_labels(graph) else _FEW
    chosen = {
        name: value for name, value in recipe.items() if getattr(config, name) is None
    }
    config = config.replace(**chosen)
    if config.method != "kd":
        return config
    # Few labels say little about a node: half the digits do as well, or better.
    return _with_sizes(config, 64 if recipe is _MANY else 32)


DEFAULT_CODEBOOK_SIZE = 3
"""The null code and two directions: a ternary digit."""


def default_codebooks(dim: int, most: int = 64) -> int:
    """As many positions as divide ``dim``, up to ``most``; ``dim`` where few do.

    Example:
        >>> [default_codebooks(dim) for dim in (128, 100, 32, 97)]
        [64, 50, 32, 97]
    """
    best = max(d for d in range(1, most + 1) if dim % d == 0)
    return best if best >= most // 4 else dim


def _with_sizes(config: TrainConfig, most: int) -> TrainConfig:
    """Fill in positions, up to ``most``, choices and queries of codes."""
    positions, size = config.num_codebooks, config.codebook_size
    if config.coder == "fixed" and config.codes not in ("random", "compact"):
        table = CodeTable.from_file(config.codes)
        positions, size = positions or table.num_codebooks, size or table.codebook_sizes
    if positions is None:
        positions = (
            len(size)
            if isinstance(size, tuple)
            else default_codebooks(config.dim, most)
        )
    if size is None:
        size = 2 if config.coder == "threshold" else DEFAULT_CODEBOOK_SIZE
    query_dim = config.query_dim
    if query_dim is None:
        query_dim = default_query_dim(size)
    return config.replace(
        num_codebooks=positions, codebook_size=size, query_dim=query_dim
    )


def has_many_labels(graph: Graph) -> bool:
    """Whether the graph gets the recipe for many labels."""
    return graph.train_idx.numel() >= MANY_LABELS


def recipe_name(graph: Graph) -> str:
    """One line that says what was picked and why."""
    count = graph.train_idx.numel()
    name = "many labels" if has_many_labels(graph) else "few labels"
    return f"recipe for {name} ({count:,} training nodes)"
