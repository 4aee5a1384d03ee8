"""Checks of what the operations over codes would otherwise read beyond."""

import os

import torch
from torch import Tensor

from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout
from kdgraph.ops.packing import code_bits

_CHUNK_ROWS = 1 << 18


def check_edges_in_range(edges: Edges, num_nodes: int) -> None:
    """Check that every edge comes from a node, and that targets share all edges out.

    Raises:
        IndexError: A source outside ``[0, num_nodes)``.
        ValueError: Row pointers that do not go from 0 to E without falling.
    """
    if edges.rowptr is not None and worth_checking(edges.rowptr):
        rowptr, count = edges.rowptr, edges.count(num_nodes)
        falls = bool((rowptr[1:] < rowptr[:-1]).any())
        if falls or int(rowptr[0]) != 0 or int(rowptr[-1]) != count:
            raise_rowptr(count)
    if edges.col is not None and edges.col.numel() and worth_checking(edges.col):
        lowest, highest = (int(bound) for bound in torch.aminmax(edges.col))
        if lowest < 0 or highest >= num_nodes:
            raise_source(lowest if lowest < 0 else highest, num_nodes)


def check_codes_in_range(codes: Tensor, layout: Layout) -> None:
    """Check that no code is at or above its alphabet.

    Raises:
        IndexError: One is.
    """
    found = _out_of_range(codes, layout)
    if found is not None:
        raise_code(*found, layout)


def codes_in_range(codes: Tensor, layout: Layout) -> bool:
    """Whether no code is at or above its alphabet."""
    return _out_of_range(codes, layout) is None


def check_position_in_range(codes: Tensor, position: int, layout: Layout) -> None:
    """Check that no code ``[B]`` of a position is at or above its alphabet.

    Raises:
        IndexError: One is.
    """
    if worth_checking(codes) and _position_may_exceed(codes, position, layout):
        code = _outside(codes, layout.sizes[position])
        if code is not None:
            raise_code(code, position, layout)


def _out_of_range(codes: Tensor, layout: Layout) -> tuple[int, int] | None:
    """A code that is at or above its alphabet, and its position."""
    if not may_exceed(codes, layout) or not worth_checking(codes):
        return None
    for block in torch.split(codes, _CHUNK_ROWS):
        for position, size in enumerate(layout.sizes):
            if not _position_may_exceed(codes, position, layout):
                continue
            code = _outside(layout.column(block, position), size)
            if code is not None:
                return code, position
    return None


def _outside(codes: Tensor, size: int) -> int | None:
    if not codes.numel():
        return None
    lowest, highest = (int(bound) for bound in torch.aminmax(codes))
    if lowest < 0:
        return lowest
    return highest if highest >= size else None


def may_exceed(codes: Tensor, layout: Layout) -> bool:
    """Whether the form of codes leaves room for one at or above its alphabet."""
    positions = range(layout.num_codebooks)
    return any(_position_may_exceed(codes, position, layout) for position in positions)


def _position_may_exceed(codes: Tensor, position: int, layout: Layout) -> bool:
    size = layout.sizes[position]
    if layout.packed:
        return size < 1 << code_bits(size)
    return codes.dtype != torch.uint8 or size < 256


def worth_checking(tensor: Tensor) -> bool:
    """Whether a look at values is free: on accelerators it would wait for them."""
    return tensor.device.type == "cpu" or bool(os.environ.get("KDGRAPH_DEBUG"))


def raise_rowptr(count: int) -> None:
    """Refuse row pointers."""
    raise ValueError(
        f"the operations over codes expect rowptr to go from 0 to the {count} edges "
        "without falling; it is the CSR of the graph by target, and col has an entry "
        "per edge"
    )


def raise_source(source: int, num_nodes: int) -> None:
    """Refuse an edge or an id."""
    raise IndexError(
        f"the operations over codes expect nodes in [0, {num_nodes}), got {source}; "
        "were ids of another graph, or local instead of global ids, passed?"
    )


def raise_code(code: int, position: int, layout: Layout) -> None:
    """Refuse a code."""
    raise IndexError(
        f"the operations over codes expect codes in [0, {layout.sizes[position]}) at "
        f"position {position}, got {code}; give the codebooks more codewords or check "
        "where the codes come from"
    )
