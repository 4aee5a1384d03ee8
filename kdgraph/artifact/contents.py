"""Which tensors an artifact holds, and under which names."""

import math
from collections.abc import Mapping
from typing import TypeVar

import torch

from kdgraph.artifact._json import short
from kdgraph.artifact.fields import Fields
from kdgraph.artifact.layout import TensorEntry
from kdgraph.artifact.rebuild import PREFIX, check_composer
from kdgraph.codes.place_map import map_bytes
from kdgraph.ops import row_bytes

CODES = "codes"
BOUNDARIES = "boundaries"
PLACES = "places"
ROWS = "rows"
"""A map of version 1: the row of each node, in 4 bytes, or 8 where needed."""
GNN_PREFIX = "gnn."

T = TypeVar("T")


def check_contents(fields: Fields, entries: Mapping[str, TensorEntry]) -> None:
    """Check which tensors there are, and their types and shapes.

    Raises:
        ValueError: One that is missing, unknown, or does not fit the metadata.
    """
    num_nodes = fields.num_nodes
    index = torch.int32 if num_nodes <= torch.iinfo(torch.int32).max else torch.int64
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        CODES: (torch.uint8, (num_nodes, row_bytes(fields.packed_sizes)))
    }
    if fields.branching:
        leaves = 1 if fields.kind == "place" else math.prod(fields.branching)
        expected[BOUNDARIES] = (index, (leaves + 1,))
    if ROWS in entries and fields.version == 1:
        expected[ROWS] = (index, (num_nodes,))
    if PLACES in entries and fields.branching and fields.version > 1:
        expected[PLACES] = (torch.uint8, (map_bytes(num_nodes),))
    for name, (dtype, shape) in expected.items():
        if name not in entries:
            raise ValueError(f"it lacks the tensor {name!r}")
        found = entries[name]
        if found.dtype != dtype:
            raise ValueError(f"tensor {name!r} has {found.dtype}, expected {dtype}")
        if found.shape != shape:
            raise ValueError(
                f"tensor {name!r} has shape {list(found.shape)}, but num_nodes and "
                f"codebook_sizes need {list(shape)}"
            )
    for name in entries:
        if name not in expected and not name.startswith((PREFIX, GNN_PREFIX)):
            raise ValueError(f"it has an unknown tensor {short(name)}")
    check_composer(fields, part(entries, PREFIX))


def part(items: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The items under a prefix, without it."""
    return {
        name.removeprefix(prefix): item
        for name, item in items.items()
        if name.startswith(prefix)
    }
