"""Recipes: what a configuration leaves open, decided by the graph."""

from typing import Any

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
    "epochs": 300,
    "patience": 150,
}
_MANY: dict[str, Any] = {
    "hidden_dim": 128,
    "num_layers": 3,
    "norm": "batch_norm",
    "dropout": 0.5,
    "input_dropout": 0.1,
    "weight_decay": 0.0,
    "epochs": 100,
    "patience": 30,
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
    if config.method == "kd" and config.num_codebooks is None:
        size = config.codebook_size
        positions = len(size) if isinstance(size, tuple) else DEFAULT_CODEBOOKS
        config = config.replace(num_codebooks=positions)
    if config.method == "kd" and config.codebook_size is None:
        config = config.replace(codebook_size=DEFAULT_CODEBOOK_SIZE)
    return config


DEFAULT_CODEBOOKS = 32
DEFAULT_CODEBOOK_SIZE = 4


def has_many_labels(graph: Graph) -> bool:
    """Whether the graph gets the recipe for many labels."""
    return graph.train_idx.numel() >= MANY_LABELS


def recipe_name(graph: Graph) -> str:
    """One line that says what was picked and why."""
    count = graph.train_idx.numel()
    name = "many labels" if has_many_labels(graph) else "few labels"
    return f"recipe for {name} ({count:,} training nodes)"
