"""Which tensors an artifact holds, and under which names."""

from collections.abc import Mapping
from typing import TypeVar

import torch

from kdgraph.artifact._json import short
from kdgraph.artifact.fields import Fields
from kdgraph.artifact.layout import TensorEntry
from kdgraph.artifact.rebuild import PREFIX, check_composer
from kdgraph.ops import row_bytes

CODES = "codes"
GNN_PREFIX = "gnn."

T = TypeVar("T")


def check_contents(fields: Fields, entries: Mapping[str, TensorEntry]) -> None:
    """Check which tensors there are, and their types and shapes.

    Raises:
        ValueError: One that is missing, unknown, or does not fit the metadata.
    """
    if CODES not in entries:
        raise ValueError(f"it lacks the tensor {CODES!r}")
    codes = entries[CODES]
    if codes.dtype != torch.uint8:
        raise ValueError(f"tensor {CODES!r} has {codes.dtype}, expected torch.uint8")
    shape = (fields.num_nodes, row_bytes(fields.codebook_sizes))
    if codes.shape != shape:
        raise ValueError(
            f"tensor {CODES!r} has shape {list(codes.shape)}, but num_nodes and "
            f"codebook_sizes need {list(shape)}"
        )
    for name in entries:
        if name != CODES and not name.startswith((PREFIX, GNN_PREFIX)):
            raise ValueError(f"it has an unknown tensor {short(name)}")
    check_composer(fields, part(entries, PREFIX))


def part(items: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The items under a prefix, without it."""
    return {
        name.removeprefix(prefix): item
        for name, item in items.items()
        if name.startswith(prefix)
    }
