"""From a configuration to an encoder and what guides it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kdgraph.baselines import FullEmbedding
from kdgraph.coders import (
    Coder,
    FixedCoder,
    GumbelCoder,
    RefinedCoder,
    SoftmaxCoder,
    ThresholdCoder,
    VQCoder,
)
from kdgraph.codes import CodeRecipe, CodeTable
from kdgraph.composers import (
    Composer,
    ConcatComposer,
    LinearComposer,
    MLPComposer,
    RecurrentComposer,
    RingComposer,
    SumComposer,
)
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.guidance import (
    ClassTargets,
    EntropyRegularization,
    Guidance,
    OnlineDistillation,
    PretrainedDistillation,
)
from kdgraph.training.config import STRUCTURAL, TrainConfig
from kdgraph.training.networks import build_gnn
from kdgraph.training.reading import Reading
from kdgraph.training.rivals import RIVALS


def build_encoder(
    config: TrainConfig, num_nodes: int, reading: Reading | None = None
) -> Encoder:
    """The encoder of a resolved configuration.

    Args:
        config: A resolved configuration.
        num_nodes: Number of nodes N.
        reading: What was read off the graph; without it codes of the same sizes stand
            in.

    Raises:
        ValueError: Sizes that do not fit together, or a method without an encoder.
    """
    reading = reading or Reading()
    if config.method in RIVALS:
        return RIVALS[config.method].make(config, num_nodes, reading)
    if config.method == "kd":
        return KDEmbedding(
            num_nodes,
            config.dim,
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            coder=_build_coder(config, num_nodes, reading.codes),
            composer=_build_composer(config),
            code_dropout=config.code_dropout or 0.0,
        )
    raise ValueError(f"method {config.method!r} has no encoder")


_COMPOSERS: dict[str, type[Composer]] = {
    "sum": SumComposer,
    "concat": ConcatComposer,
    "mlp": MLPComposer,
    "recurrent": RecurrentComposer,
    "ring": RingComposer,
}


def build_guidance(
    config: TrainConfig, encoder: Encoder, teacher: Encoder | None = None
) -> list[Guidance]:
    """What guides the encoder while it trains.

    Args:
        config: A resolved configuration.
        encoder: The student.
        teacher: The trained table that ``guidance="pretrained"`` pulls toward.

    Raises:
        ValueError: Pre-trained guidance without a teacher.
    """
    guides: list[Guidance] = []
    weight = config.guidance_weight or 0.0
    if config.guidance == "online":
        sizes = (encoder.num_nodes, encoder.embedding_dim)
        table = FullEmbedding(*sizes, sparse=config.by_rows)
        guides.append(OnlineDistillation(table, weight=weight, mix=config.guidance_mix))
    if config.guidance == "pretrained":
        if teacher is None:
            raise ValueError("pre-trained guidance needs a teacher, got none")
        guides.append(PretrainedDistillation(teacher, weight=weight))
    if config.entropy_weight > 0:
        guides.append(EntropyRegularization(config.entropy_weight))
    return guides


def _build_coder(config: TrainConfig, num_nodes: int, codes: CodeTable | None) -> Coder:
    if config.coder == "softmax":
        return SoftmaxCoder(config.query_dim or "free", sparse=config.by_rows)
    if config.coder == "gumbel":
        return GumbelCoder(config.query_dim or "free", sparse=config.by_rows)
    if config.coder in STRUCTURAL:
        recipe = code_recipe(config)
        if recipe is None:
            given: str | CodeTable = config.codes or "random"
        else:
            given = recipe.stand_in(num_nodes) if codes is None else codes
        if config.coder == "fixed":
            return FixedCoder(given)
        every, start, rounds = config.refine_every, 15, 3
        if config.by_rows:
            # An epoch of mini-batches takes codebooks and network as far as several
            # steps over all nodes do.
            every, start = max(1, every // 5), 3
        return RefinedCoder(
            given,
            step=config.refine_step,
            every=every,
            start=start,
            stop=start + rounds * every,
            positions=None if recipe is None else recipe.movable,
        )
    kind = VQCoder if config.coder == "vq" else ThresholdCoder
    return kind(sparse=config.by_rows)


def _build_composer(config: TrainConfig) -> Composer:
    kind = _COMPOSERS[config.composer or "concat"]
    options: dict[str, Any] = {}
    if kind is not RingComposer:
        options["null_code"] = config.null_code
    elif config.code_dim is not None:
        raise ValueError(
            f"composer 'ring' has matrices of rank by rank, and no code_dim, got "
            f"{config.code_dim}; leave it out, or give a rank"
        )
    elif config.rank is not None:
        options["rank"] = config.rank
    if config.code_dim is not None:
        options["code_dim"] = config.code_dim
    if config.storage not in (None, "float32"):
        options["storage"] = config.storage
    recipe = code_recipe(config)
    if recipe is not None and any(recipe.trees):
        if not issubclass(kind, LinearComposer):
            raise ValueError(
                f"codes {config.codes} have codebooks that are trees, which composer "
                f"{config.composer!r} does not take; use composer 'sum' or 'concat', "
                "or levels or digits in the place of tree and order"
            )
        options["trees"] = recipe.trees
    return kind(**options)


def code_recipe(config: TrainConfig) -> CodeRecipe | None:
    """The recipe of structural codes, if the configuration names one."""
    if config.method != "kd" or config.coder not in STRUCTURAL or not config.codes:
        return None
    return (
        CodeRecipe.parse(config.codes) if CodeRecipe.is_recipe(config.codes) else None
    )


def stored_boundaries(
    recipe: CodeRecipe, graph: Graph
) -> NDArray[np.integer[Any]] | None:
    """First id of each cluster that a recipe needs, of a graph stored in their order.

    Digits of a place need no clusters of their own: any order will do.
    """
    order = graph.stored_order
    if order is None or not recipe.ordered:
        return None
    if recipe.parts[0][0] == "place":
        return order.boundaries
    return order.boundaries_of(recipe.clusters)


def needs_map(config: TrainConfig, graph: Graph) -> bool:
    """Whether a map from the ids of a graph to places counts beside the encoder."""
    if config.method in RIVALS:
        return RIVALS[config.method].ordered and graph.stored_order is None
    recipe = code_recipe(config)
    if recipe is None or not recipe.ordered:
        return False
    return stored_boundaries(recipe, graph) is None


def optimizer_groups(
    config: TrainConfig,
    encoder: Encoder,
    guides: Sequence[Guidance],
    gnn: nn.Module,
    apart: Sequence[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Parameter groups: what chooses codes decays by a rate of its own.

    Those ``apart`` are in none.

    A little brings nodes with a weak gradient back to the null code, as it shrinks the
    rows of a table; what codebooks and network take would bring back all.
    """
    coder = list(encoder.coder.parameters()) if isinstance(encoder, KDEmbedding) else []
    free = {id(parameter) for parameter in coder}
    modules = (encoder, gnn, *guides)
    rest = [p for module in modules for p in module.parameters() if id(p) not in free]
    groups = [(coder, config.coder_weight_decay), (rest, config.weight_decay)]
    left_out = {id(parameter) for parameter in apart}
    trained = [
        {
            "params": [
                p for p in parameters if p.requires_grad and id(p) not in left_out
            ],
            "weight_decay": decay,
        }
        for parameters, decay in groups
    ]
    return [group for group in trained if group["params"]]


def teacher_config(config: TrainConfig) -> TrainConfig:
    """How that is trained which guidance learns from: a table, or the same method."""
    if config.guidance == "diffusion":
        return config.replace(guidance="labelprop")
    return config.replace(method="full", guidance="none", entropy_weight=0.0)


def training_bytes(
    config: TrainConfig,
    encoder: Encoder,
    guides: Sequence[Guidance],
    targets: ClassTargets | None = None,
) -> int:
    """Bytes of weights, gradients and Adam state of an encoder and what guides it.

    Pre-trained guidance trains a full table first; the phase that takes more counts.
    """
    total = encoder.training_bytes() + sum(guide.training_bytes() for guide in guides)
    if targets is not None:
        total += targets.training_bytes()
    if config.guidance == "pretrained":
        total = max(total, 16 * encoder.num_nodes * config.dim)
    return total


@contextmanager
def without_memory(what: str) -> Iterator[None]:
    """Make modules inside of which only the sizes are real.

    Args:
        what: What is made, for the message.

    Raises:
        ValueError: Sizes so large that even their bytes cannot be counted.
    """
    with countable(what), torch.device("meta"):
        yield


@contextmanager
def countable(what: str) -> Iterator[None]:
    """Say in a sentence where sizes are too large for any machine.

    Args:
        what: What is made, for the message.

    Raises:
        ValueError: Sizes so large that even their bytes cannot be counted.
    """
    try:
        yield
    except (OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{what} would take more bytes than 64 bits can count; choose smaller sizes"
        ) from error


def check_sizes(config: TrainConfig, graph: Graph) -> None:
    """Check that encoder and network can be built, without the memory they need.

    Args:
        config: A resolved configuration.
        graph: Where it will be trained.

    Raises:
        ValueError: Sizes that do not fit together.
    """
    if config.method == "labelprop":
        return
    # Codes of a file are on the CPU, and small.
    given = config.coder in STRUCTURAL and config.codes not in ("random", "compact")
    with countable("the encoder"), nullcontext() if given else torch.device("meta"):
        reading = Reading(stored_in_order=not needs_map(config, graph))
        build_encoder(config, graph.num_nodes, reading)
    with without_memory("the network"):
        build_gnn(config, graph.num_classes)
