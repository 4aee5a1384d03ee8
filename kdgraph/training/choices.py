"""What ``--coder auto`` may pick: codes off the graph, places, and learned codes."""

import math
from collections.abc import Iterator

from kdgraph.codes import CodeRecipe
from kdgraph.data import Graph
from kdgraph.data.stored_order import StoredOrder
from kdgraph.ops import MAX_CODEBOOK_SIZE
from kdgraph.training.choice import Choice
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import build_encoder, code_recipe, without_memory
from kdgraph.training.recipes import has_many_labels, resolve_config
from kdgraph.training.rings import ring_choices

COMPRESSION = 50.0
"""Of the codes that auto prefers: the table's bytes over theirs, at least."""
MANY_CODE_DROPOUT = 0.3
"""Chosen on validation on ogbn-arxiv: 70.7 there, and 70.2 without."""
TRY_BELOW = 2_000_000
"""Stored edges up to which several resolutions are tried."""
LEAST_RANK = 4
"""Of rings beside other codes."""


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
    alone = _one_by_one(config)
    int8 = config.composer == "ring" or not alone
    base = _structural(free, graph).replace(
        storage=config.storage or ("int8" if int8 else "float32")
    )
    budget, given = _budget(config, graph)
    try_several = graph.num_edges <= TRY_BELOW
    families = _families(graph, few=few, alone=alone)
    rings: list[Choice] = []
    if try_several or config.composer == "ring":
        rings = ring_choices(base, free, graph, budget)
    if config.composer == "ring" and rings:
        families = []
    fitting = [_fit(base, graph, family, budget) for family in families]
    fits = [choice for choice in fitting if choice is not None]
    small = [ring for ring in rings if ring.bytes <= budget]
    # A ring of a few numbers tells little, but more than no codes in a budget.
    least = 1 if given and not fits else LEAST_RANK
    fits += [one for one in small if (one.config.rank or 0) >= least]
    if not few and try_several and config.composer != "ring":
        # Without a budget, whatever is smaller than the table.
        room = budget if given else 4 * graph.num_nodes * config.dim - 1
        fits += [one for one in _finer(base, free, graph, room) if one.bytes <= room]
    choices, larger = {choice.config: choice for choice in fits}, ""
    if not choices:
        every = list(_every(base, graph, families))
        smallest = min(every or rings, key=lambda one: one.bytes)
        if given:
            raise ValueError(
                f"no codes fit into {budget:,.0f} bytes: the smallest take "
                f"{smallest.bytes:,}; allow {_per_node(smallest, graph):.2f} bytes per "
                "node, or a smaller --dim"
            )
        choices = {smallest.config: smallest}
        larger = f", none {COMPRESSION:.0f} times smaller than the table"
    ordered = sorted(choices.values(), key=lambda one: one.bytes)
    read = any(code_recipe(choice.config) for choice in ordered)
    origin = "codes read off the graph" if read else "codes that are learned"
    kind = "few" if few else "many"
    return ordered, f"{kind} labels, {graph.num_nodes:,} nodes: {origin}{larger}"


def _per_node(choice: Choice, graph: Graph) -> float:
    """Bytes per node that are enough, in hundredths."""
    return math.ceil(100 * choice.bytes / graph.num_nodes) / 100


def _budget(config: TrainConfig, graph: Graph) -> tuple[float, bool]:
    """Bytes that codes may take, and whether that was asked for."""
    if config.bytes_per_node is not None:
        return config.bytes_per_node * graph.num_nodes, True
    table = 4 * graph.num_nodes * config.dim
    return table / (config.compression or COMPRESSION), config.compression is not None


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
        coder="fixed" if few or _cannot_refine(config) else "refined",
        guidance=config.guidance or ("diffusion" if guided else "none"),
    )


def _cannot_refine(config: TrainConfig) -> bool:
    """Whether no code could be re-chosen: of such a composer, or none is stored."""
    recipe = code_recipe(config.replace(coder="fixed"))
    implied = recipe is not None and recipe.row_bytes == 0
    return implied or _one_by_one(config)


def _one_by_one(config: TrainConfig) -> bool:
    """Whether the composer is more than a sum over positions."""
    return config.composer in ("mlp", "recurrent", "ring")


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


def _families(graph: Graph, *, few: bool, alone: bool) -> list[list[str]]:
    """Recipes by how they derive codes from the graph, each from fine to coarse.

    The first tree of a graph that is stored in the order of one is that, at no bits a
    node. Any other order would need a map, of more bits than a leaf.

    Args:
        graph: Where they will be trained.
        few: Whether labels are few.
        alone: Whether no codebook may be a tree, as for more than sums.
    """
    num_nodes, stored = graph.num_nodes, graph.stored_order
    leaf = max(2, min(16, int((num_nodes / 8) ** 0.5)))
    other = max(2, (2 * leaf) // 3)
    third = max(2, (3 * leaf) // 8)
    size = max(2, min(64 if few else 256, num_nodes // 16))
    if alone:
        return [[f"spectral:{d}x{size}" for d in (8, 6, 4, 2, 1)]]
    if few:
        one = _first(f"tree:{leaf}x{leaf}", stored)
        three = f"{one}+tree:{other}x{other}+tree:{third}x{third}x{third}"
        return [
            [*(f"{one}+spectral:{d}x{size}" for d in (4, 3, 2, 1)), one],
            [f"{three}+spectral:{d}x{size}" for d in (4, 3, 2, 1)],
            [f"spectral:{d}x{size}" for d in (8, 6, 4, 2)],
        ]
    deep = 3 if num_nodes > 30_000 else 2
    trees = [
        "x".join([str(leaf)] * deep),
        "x".join([str(other)] * deep),
        "x".join([str(third)] * (deep + 1)),
    ]
    parts = [f"tree:{tree}" for tree in trees]
    parts[0] = _first(parts[0], stored)
    three, two = "+".join(parts), "+".join(parts[:2])
    return [
        [
            *(f"{three}+spectral:{d}x{size}" for d in (4, 3, 2)),
            *(f"{two}+spectral:{d}x{size}" for d in (4, 3, 2, 1)),
            parts[0],
        ]
    ]


def _first(tree: str, stored: StoredOrder | None) -> str:
    """The first tree of a recipe, or that in whose order the graph is stored."""
    if stored is None or stored.boundaries.size > MAX_CODEBOOK_SIZE:
        return tree
    return str(stored).replace("tree", "order")


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
    if base.composer != "ring":
        base = base.replace(code_dim=width)
    return Choice.of(base.replace(codes=codes, coder=coder), graph)
