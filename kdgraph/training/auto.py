"""What ``--coder auto`` picks: structural codes, their resolution by validation."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kdgraph.codes import CodeRecipe
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import build_encoder, code_recipe, without_memory
from kdgraph.training.recipes import has_many_labels, resolve_config

COMPRESSION = 50.0
"""Of the codes that auto prefers: the table's bytes over theirs, at least."""
MANY_CODE_DROPOUT = 0.3
"""Chosen on validation on ogbn-arxiv: 70.7 there, and 70.2 without."""
TRY_BELOW = 2_000_000
"""Stored edges up to which several resolutions are tried."""
QUICK_BELOW = 50_000
"""Stored edges up to which each is tried with several seeds."""
TRIED_SEEDS = 3
"""With which each is tried where that is quick."""
WORTH = 0.005
"""What a larger code must gain on validation to be taken before a smaller one."""

Train = Callable[[TrainConfig, int], float]
"""Train a configuration with a seed, and give its validation score."""
Read = Callable[[TrainConfig], object]
"""Read the codes of a configuration off the graph, or say why that fails."""


@dataclass(frozen=True)
class Choice:
    """A configuration that auto may pick.

    Args:
        config: Resolved.
        bytes: What it stores.
    """

    config: TrainConfig
    bytes: int


@dataclass(frozen=True)
class Pick:
    """What auto picked, and why.

    Args:
        config: Resolved, as every seed trains it.
        reason: In a few words.
        tried: Codes, bytes and mean validation score of what was tried.
    """

    config: TrainConfig
    reason: str
    tried: tuple[dict[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """One line on what was picked and why, and one for each that was tried."""
        config = self.config
        codes = f" {config.codes}" if config.coder in ("fixed", "refined") else ""
        width = f", codewords of {config.code_dim}" if config.code_dim else ""
        stored = f" in {config.storage}" if config.storage else ""
        guided = f", guidance {config.guidance}" if config.guidance != "none" else ""
        lines = [
            f"auto: {self.reason}",
            f"auto: coder {config.coder}{codes}{width}{stored}{guided}",
        ]
        lines[1:1] = [
            f"auto: tried {one['codes']} ({one['bytes']:,} bytes): "
            f"validation {100 * one['valid_score']:.1f}"
            for one in self.tried
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "config": self.config.as_dict(),
            "reason": self.reason,
            "tried": list(self.tried),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Pick":
        """The inverse of :meth:`as_dict`."""
        config = TrainConfig.from_dict(values["config"])
        return cls(config, values["reason"], tuple(values["tried"]))


def auto_choices(config: TrainConfig, graph: Graph) -> tuple[list[Choice], str]:
    """What auto may pick on a graph, smallest first, and why.

    Args:
        config: With ``coder="auto"``; what it states is kept.
        graph: Where it will be trained.

    Raises:
        ValueError: A byte budget that nothing fits into.
    """
    free = config.replace(compression=None, bytes_per_node=None)
    asked = _asked_for(free, graph)
    if asked is not None and free != config:
        raise ValueError(
            f"compression and bytes_per_node leave sizes to coder 'auto', but "
            f"{asked[1]}; leave one of them out"
        )
    if asked is not None:
        return [Choice(resolve_config(asked[0], graph), 0)], asked[1]
    few = not has_many_labels(graph)
    base = _structural(free, graph).replace(
        storage=config.storage or ("float32" if _one_by_one(config) else "int8")
    )
    table = 4 * graph.num_nodes * config.dim
    budget, given = table / COMPRESSION, False
    if config.compression is not None:
        budget, given = table / config.compression, True
    if config.bytes_per_node is not None:
        budget, given = config.bytes_per_node * graph.num_nodes, True
    kind = "few" if few else "many"
    families = _families(graph.num_nodes, few=few)
    if _one_by_one(config):
        # Only sums have codebooks that are trees.
        size = max(2, min(64 if few else 256, graph.num_nodes // 16))
        families = [[f"spectral:{d}x{size}" for d in (8, 6, 4, 2, 1)]]
    fitting = [_fit(base, graph, family, budget) for family in families]
    fits = [choice for choice in fitting if choice is not None]
    if not few and graph.num_edges <= TRY_BELOW:
        # Without a budget, whatever is smaller than the table.
        room = budget if given else table - 1
        fits += [one for one in _finer(base, free, graph, room) if one.bytes <= room]
    choices, larger = {choice.config: choice for choice in fits}, ""
    if not choices:
        smallest = min(_every(base, graph, families), key=lambda one: one.bytes)
        if given:
            raise ValueError(
                f"no codes fit into {budget:,.0f} bytes: the smallest take "
                f"{smallest.bytes:,}; allow {smallest.bytes / graph.num_nodes:.2f} "
                "bytes per node, or a smaller --dim"
            )
        choices = {smallest.config: smallest}
        larger = f", none {COMPRESSION:.0f} times smaller than the table"
    ordered = sorted(choices.values(), key=lambda one: one.bytes)
    reason = f"{kind} labels, {graph.num_nodes:,} nodes: codes read off the graph"
    return ordered, reason + larger


def pick(config: TrainConfig, graph: Graph, train: Train, read: Read) -> Pick:
    """Try what auto may pick, and take the smallest that is good on validation.

    On small graphs every choice is trained, with three seeds where that is quick; on
    large ones the smallest is taken. A larger code must gain half a point on
    validation. Test labels are not looked at. Where structure hardly tells nodes apart,
    codes are learned.

    Args:
        config: With ``coder="auto"``.
        graph: Where it will be trained.
        train: Trains a configuration with a seed and gives its validation score.
        read: Reads the codes of a configuration off the graph.

    Raises:
        ValueError: A byte budget that nothing fits into, or codes that were asked for
            and that the graph does not have.
    """
    choices, reason = auto_choices(config, graph)
    if config.codes is None:
        choices, trouble = _readable(choices, read)
        if not choices:
            if config.compression is not None or config.bytes_per_node is not None:
                raise ValueError(f"no codes fit the graph and the budget: {trouble}")
            learned = config.replace(coder="softmax")
            why = f"codes cannot be read off the graph ({trouble})"
            return Pick(resolve_config(learned, graph), why)
    if len(choices) == 1:
        return Pick(choices[0].config, reason)
    if graph.num_edges > TRY_BELOW:
        return Pick(choices[0].config, f"{reason}, too large to try several")
    seeds = TRIED_SEEDS if graph.num_edges < QUICK_BELOW else 1
    tried: list[tuple[float, Choice]] = []
    for choice in choices:
        # One training of two tells which codes are good.
        once = choice.config
        if once.guidance == "diffusion":
            once = once.replace(guidance="labelprop")
        scores = [train(once, seed) for seed in range(seeds)]
        tried.append((statistics.fmean(scores), choice))
    score, best = tried[0]
    for other, choice in tried[1:]:
        # Choices come by size; within a tenth, size does not count.
        worth = WORTH if choice.bytes > 1.1 * best.bytes else 0.0
        if other > score + worth:
            score, best = other, choice
    report = tuple(
        {
            "codes": one.config.codes or f"coder {one.config.coder}",
            "bytes": one.bytes,
            "valid_score": value,
        }
        for value, one in tried
    )
    return Pick(best.config, f"{reason}, resolution by validation", report)


def _readable(choices: list[Choice], read: Read) -> tuple[list[Choice], str]:
    """Those whose codes the graph has, and what was wrong with the last other."""
    found, trouble = [], ""
    for choice in choices:
        try:
            read(choice.config)
        except ValueError as error:
            trouble = str(error)
        else:
            found.append(choice)
    return found, trouble


def _asked_for(config: TrainConfig, graph: Graph) -> tuple[TrainConfig, str] | None:
    """What other options leave no choice about."""
    codes, size = config.codes, config.codebook_size
    if codes is not None:
        read = CodeRecipe.is_recipe(codes)
        given = _structural(config, graph) if read else config.replace(coder="fixed")
        return given, f"codes {codes} were asked for"
    softmax = config.replace(coder="softmax")
    if config.query_dim is not None or config.entropy_weight > 0:
        return softmax, "queries and entropy belong to codes that are learned"
    if graph.num_edges == 0:
        return softmax, "no edges to read codes from"
    if config.num_codebooks is None and size is None:
        return None
    size = 64 if size is None else size
    if not isinstance(size, int):
        return softmax, "choices per position were asked for"
    codes = f"spectral:{config.num_codebooks or 8}x{size}"
    return _structural(config, graph).replace(codes=codes), "sizes were asked for"


def _structural(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Coder and guidance of codes that are read off the graph.

    Few labels say too little to re-choose codes by, and much by what they spread. Where
    there are many, the network overfits codes before it has learned from all of them.
    """
    few = not has_many_labels(graph)
    guided = few and not graph.multi_label
    dropout = config.code_dropout
    if dropout is None:
        dropout = 0.0 if few else MANY_CODE_DROPOUT
    return config.replace(
        code_dropout=dropout,
        coder="fixed" if few or _one_by_one(config) else "refined",
        guidance=config.guidance or ("diffusion" if guided else "none"),
    )


def _one_by_one(config: TrainConfig) -> bool:
    """Whether the composer is more than a sum over positions."""
    return config.composer in ("mlp", "recurrent")


def _finer(
    base: TrainConfig, free: TrainConfig, graph: Graph, room: float
) -> list[Choice]:
    """For labels that structure does not tell: more digits, and codes that learn."""
    finer = []
    # Codes that are learned tell no clusters beforehand.
    if free.batching != "cluster":
        finer.append(_learned(free, graph, room))
    if not _one_by_one(base):
        finer.append(_choice(base, graph, "spectral:16x256", _widths(base, graph)[0]))
    return finer


def _learned(free: TrainConfig, graph: Graph, room: float) -> Choice:
    """Codes that learn: of a bit, and of half as many, as long as they do not fit.

    On cornell5, 64 bits in 150 KB score 77.0 on validation, structure in 186 KB 70.7.
    """
    config = resolve_config(free.replace(coder="softmax"), graph)
    while True:
        with without_memory(f"learned codes of {graph.num_nodes} nodes"):
            stored = build_encoder(config, graph.num_nodes).inference_bytes()
        positions = config.num_codebooks or 1
        if stored > room and config.codebook_size != 2:
            config = config.replace(codebook_size=2)
        elif stored > room and positions % 2 == 0:
            config = config.replace(num_codebooks=positions // 2)
        else:
            return Choice(config, stored)


def _families(num_nodes: int, *, few: bool) -> list[list[str]]:
    """Recipes by how they read the graph, each from fine to coarse."""
    leaf = max(2, min(16, int((num_nodes / 8) ** 0.5)))
    other = max(2, (2 * leaf) // 3)
    third = max(2, (3 * leaf) // 8)
    size = max(2, min(64 if few else 256, num_nodes // 16))
    if few:
        one = f"tree:{leaf}x{leaf}"
        three = f"{one}+tree:{other}x{other}+tree:{third}x{third}x{third}"
        return [
            [f"{one}+spectral:{d}x{size}" for d in (4, 3, 2, 1)]
            + [one, f"order{one[4:]}"],
            [f"{three}+spectral:{d}x{size}" for d in (4, 3, 2, 1)],
            [f"spectral:{d}x{size}" for d in (8, 6, 4, 2)],
        ]
    deep = 3 if num_nodes > 30_000 else 2
    trees = [
        "x".join([str(leaf)] * deep),
        "x".join([str(other)] * deep),
        "x".join([str(third)] * (deep + 1)),
    ]
    three = "+".join(f"tree:{tree}" for tree in trees)
    two = "+".join(f"tree:{tree}" for tree in trees[:2])
    return [
        [
            *(f"{three}+spectral:{d}x{size}" for d in (4, 3, 2)),
            *(f"{two}+spectral:{d}x{size}" for d in (4, 3, 2, 1)),
            f"tree:{trees[0]}",
            f"order:{trees[0]}",
        ]
    ]


_WIDTHS = (32, 24, 16, 12, 8, 4)


def _fit(
    base: TrainConfig, graph: Graph, family: list[str], budget: float
) -> Choice | None:
    """The finest of a family that fits, with the widest codewords that fit then."""
    for codes in family:
        for width in _widths(base, graph):
            choice = _choice(base, graph, codes, width)
            if choice.bytes <= budget:
                return choice
    return None


def _every(
    base: TrainConfig, graph: Graph, families: list[list[str]]
) -> Iterator[Choice]:
    for family in families:
        for codes in family:
            yield _choice(base, graph, codes, _widths(base, graph)[-1])


def _widths(base: TrainConfig, graph: Graph) -> tuple[int, ...]:
    """Codewords wide enough to tell clusters apart; few labels train no more."""
    if base.code_dim is not None:
        return (base.code_dim,)
    most = 32 if has_many_labels(graph) else 16
    fitting = tuple(width for width in _WIDTHS if width <= min(most, base.dim))
    return fitting or (base.dim,)


def _choice(base: TrainConfig, graph: Graph, codes: str, width: int) -> Choice:
    coder = base.coder
    if not CodeRecipe.parse(codes).movable:
        coder = "fixed"
    config = base.replace(codes=codes, code_dim=width, coder=coder)
    config = resolve_config(config, graph)
    return Choice(config, _bytes(config, graph.num_nodes))


def _bytes(config: TrainConfig, num_nodes: int) -> int:
    """What an encoder of structural codes stores; the codes are counted, not made."""
    recipe, encoder = code_recipe(config), build_encoder(config, 1)
    if recipe is None or not isinstance(encoder, KDEmbedding):
        return 0
    return recipe.stored_bytes(num_nodes) + encoder.composer.stored_bytes()
