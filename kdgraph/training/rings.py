"""Rings over the places of nodes, as auto may pick them."""

from kdgraph.codes.place_map import map_bytes
from kdgraph.composers.factors import covering_factors
from kdgraph.data import Graph
from kdgraph.training.choice import Choice
from kdgraph.training.config import TrainConfig

MOST_PRODUCTS = 10**10
"""Multiplications by which a ring forms all vectors once: about a second."""
_NUMBER_BYTES: dict[str | None, int] = {"float32": 4, "bfloat16": 2, "int8": 1}


def ring_choices(
    base: TrainConfig, free: TrainConfig, graph: Graph, room: float
) -> list[Choice]:
    """Products over the digits of a place, beside a map from ids to places.

    One of a rank whose numbers fit as float32, as they are trained, and one of the rank
    that fits as stored. No two nodes have the same vector.

    Args:
        base: What all codes off the graph have in common.
        free: What was asked for.
        graph: Where they will be trained.
        room: Bytes.
    """
    digits = covering_factors(graph.num_nodes, 3)
    told = free.composer not in (None, "ring") or free.code_dim is not None
    # Places tell no clusters that batches could be made of.
    if told or min(digits) < 2 or free.batching == "cluster":
        return []
    matrices = sum(digits) * max(covering_factors(base.dim, 3))
    most = (MOST_PRODUCTS / (graph.num_nodes * base.dim)) ** 0.5
    choices = {}
    if graph.stored_order is None:
        room = max(0.0, room - map_bytes(graph.num_nodes))
    for number_bytes in (4, _NUMBER_BYTES[base.storage]):
        fitting = (room / (number_bytes * matrices)) ** 0.5
        config = base.replace(
            code_dropout=free.code_dropout or 0.0,
            codes=f"place:{'x'.join(map(str, digits))}",
            coder="fixed",
            composer="ring",
            rank=free.rank or max(1, int(min(most, fitting))),
        )
        choice = Choice.of(config, graph)
        choices[choice.config] = choice
    return list(choices.values())
