"""Recipes: what a configuration leaves open, decided by the graph."""

from typing import Any

from kdgraph.coders import default_query_dim
from kdgraph.codes import CodeRecipe, CodeTable
from kdgraph.data import Graph
from kdgraph.training.choose_batching import choose_batching
from kdgraph.training.config import STRUCTURAL, TrainConfig
from kdgraph.training.methods import code_recipe
from kdgraph.training.metric import Metric

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
_MINI: dict[str, Any] = {"epochs": 20, "patience": 5}
"""For many labels: an epoch of mini-batches takes some ninety steps on ogbn-arxiv."""
_MINI_NORM = "layer_norm"
"""In the place of statistics of a batch, which are not those of the graph."""
# Chosen on validation on BlogCatalog, Wikipedia and generated overlapping communities:
# a vector of a node's own that reaches its scores is learned by heart, in a table as in
# codes, and neighbours two steps away say something else than those beside it.
_MULTI: dict[str, Any] = {
    "hidden_dim": 256,
    "num_layers": 2,
    "norm": "batch_norm",
    "dropout": 0.5,
    "input_dropout": 0.5,
    "weight_decay": 0.0,
    "coder_weight_decay": 0.0,
    "root_weight": False,
    "jk": "cat",
    "epochs": 200,
    "patience": 40,
}

_GUIDANCE_WEIGHTS = {"labelprop": 1.0, "diffusion": 1.0}
"""Of classes beside the labels; a table that codes are pulled to wants little."""


def resolve_config(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Fill in what is ``None`` for this graph.

    Args:
        config: What the user asked for.
        graph: Where it is trained; the number of training nodes decides.
    """
    recipe = _MANY if has_many_labels(graph) else _FEW
    if graph.multi_label:
        recipe = _MULTI
    chosen = {
        name: value for name, value in recipe.items() if getattr(config, name) is None
    }
    if config.fanout is not None and config.num_layers is None:
        chosen["num_layers"] = len(config.fanout)
    Metric(config.metric or graph.metric).check(graph)
    if config.pos_weight > 0 and not graph.multi_label:
        raise ValueError(
            f"pos_weight is for several labels per node, and {graph.name} has one "
            f"class per node, got {config.pos_weight}; leave it out"
        )
    own_norm = config.norm
    config = name_model(config, graph).replace(
        **chosen,
        guidance=config.guidance or "none",
        storage=config.storage or "float32",
        # One class a node leaves no choice, and older run folders name none.
        metric=config.metric or (graph.metric if graph.multi_label else None),
        code_dropout=config.code_dropout or 0.0,
    )
    if config.guidance in _GUIDANCE_WEIGHTS and graph.multi_label:
        raise ValueError(
            f"guidance {config.guidance!r} is for one class per node, and "
            f"{graph.name} has several labels per node; choose another, or none"
        )
    if config.guidance_weight is None:
        weight = _GUIDANCE_WEIGHTS.get(config.guidance or "none", 0.01)
        config = config.replace(guidance_weight=weight)
    config = choose_batching(_with_codes(config, graph), graph)
    if config.by_rows and own_norm is None and config.norm == "batch_norm":
        config = config.replace(norm=_MINI_NORM)
    return config


def name_model(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Fill in the network: GCN, or means of neighbours where nodes have several labels.

    Args:
        config: What the user asked for.
        graph: Where it is trained.
    """
    if config.model != "auto":
        return config
    return config.replace(model="sage" if graph.multi_label else "gcn")


def _with_codes(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Fill in composer and sizes of codes, where the method has any."""
    if config.method != "kd":
        return config
    if config.coder == "auto":
        raise ValueError(
            "coder 'auto' stands for several configurations; pick one of auto_choices"
        )
    codes = code_recipe(config)
    if codes is not None:
        return _with_recipe(config, codes)
    config = config.replace(composer=config.composer or "concat")
    # Few labels say little about a node: half the digits do as well, or better.
    return _with_sizes(config, 64 if has_many_labels(graph) else 32)


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
    if config.coder in STRUCTURAL and config.codes not in (None, "random", "compact"):
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


def _with_recipe(config: TrainConfig, recipe: CodeRecipe) -> TrainConfig:
    """Fill in what the codes of a recipe say themselves."""
    sizes = recipe.codebook_sizes
    positions, asked = config.num_codebooks, config.codebook_size
    if positions not in (None, len(sizes)) or asked not in (None, sizes, *sizes[:1]):
        raise ValueError(
            f"num_codebooks={positions} and codebook_size={asked} do not fit the codes "
            f"{recipe}, which have {sizes}; leave them out"
        )
    uniform = len(set(sizes)) == 1
    return config.replace(
        num_codebooks=len(sizes),
        codebook_size=sizes[0] if uniform else sizes,
        composer=config.composer or "sum",
        null_code=False,
    )


def has_many_labels(graph: Graph) -> bool:
    """Whether the graph gets the recipe for many labels."""
    return graph.train_idx.numel() >= MANY_LABELS


def recipe_name(graph: Graph) -> str:
    """One line that says what was picked and why."""
    count = graph.train_idx.numel()
    name = "many labels" if has_many_labels(graph) else "few labels"
    if graph.multi_label:
        name = "several labels per node"
    return f"recipe for {name} ({count:,} training nodes)"
