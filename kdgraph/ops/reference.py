"""The operations over codes in plain torch, block by block: the specification.

What the native core and the Triton kernels do is held against this file. There are two
ways to sum along edges. *Edge by edge*, a block of edges reads the codes of its
sources, and the product with a sparse matrix whose columns are codewords gives the
sums, position by position: vectors are never formed. *Nodes first*, the vectors of all
nodes are composed, some channels at a time, and then summed: that pays where there are
several edges per node, for codewords that are added up and for gradients, which come
back to the nodes before they are given to codewords.

Working memory beside the result is some times ``BLOCK_BYTES``. Nodes first it is also
``TABLE_BYTES``, or 64 bytes per node (a codeword per node where that is more) if these
do not fit; gradients then need the transposed graph as well, up to 12 bytes per edge.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.ops.blocks import BLOCK_BYTES, Block, blocks
from kdgraph.ops.check import (
    check_codes_in_range,
    check_edges_in_range,
    check_position_in_range,
    codes_in_range,
)
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout
from kdgraph.ops.segments import Segments, transpose
from kdgraph.ops.straight_through import at_least_float32

TABLE_BYTES = 1 << 28
"""Of the channels of all nodes that are there at once."""

_FEWEST_CHANNELS = 16

_EVERY_NODE = Edges(None, None)

NAME = "reference"


def gather(
    codes: Tensor,
    codebooks: Tensor,
    n_id: Tensor | None,
    layout: Layout,
    *,
    check: bool,
) -> Tensor:
    """Vectors ``[B, C]``: row i is composed from the codes of ``n_id[i]``."""
    edges = Edges(None, n_id)
    if check:
        check_edges_in_range(edges, codes.size(0))
    books = at_least_float32(codebooks.detach())
    width = layout.width(books.size(1))
    out = books.new_empty(edges.count(codes.size(0)), width)
    for block in _blocks(edges, codes, 2 * layout.num_codebooks, width):
        rows = block.rows(codes)
        if check:
            check_codes_in_range(rows, layout)
        _compose(layout.rows(rows), books, layout, out[block.targets])
    return out.to(codebooks.dtype)


def spmm(
    edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout, *, check: bool
) -> Tensor:
    """Sums ``[M, C]`` of the weighted vectors of every target's sources."""
    nodes = codes.size(0)
    if check:
        check_edges_in_range(edges, nodes)
    books = at_least_float32(codebooks.detach())
    width = books.size(1)
    out = books.new_zeros(edges.targets(nodes), layout.width(width))
    # Codewords side by side take few additions anyway; few nodes, few calls.
    small = 4 * nodes * out.size(1) <= BLOCK_BYTES
    if (small or not layout.concat) and _nodes_first(edges, codes, layout):
        for part in _parts(nodes, layout, width):
            table = _decode(codes, books, layout, part)
            _add_sums(out[:, part.channels], edges, table)
        return out.to(codebooks.dtype)
    for block in _blocks(edges, codes, 0, out.size(1) + 2 * width):
        rows, sums = block.rows(codes), out[block.targets]
        for position in range(layout.num_codebooks):
            code = layout.column(rows, position)
            if check:
                check_position_in_range(code, position, layout)
            book = books[layout.span(position)]
            found = block.segments.sum(book, code.int(), block.weight)
            sums[:, layout.channels(position, width)] += block.shared(found)
    return out.to(codebooks.dtype)


def grad_codebooks(
    grad: Tensor, edges: Edges, codes: Tensor, layout: Layout, *, width: int
) -> Tensor:
    """Gradient of a loss by the codebooks ``[R, S]``, from that by the sums."""
    grad = at_least_float32(grad.detach())
    # A codeword may add up as many terms as there are edges.
    by_book = grad.new_zeros(layout.num_rows, width, dtype=torch.float64)
    if _nodes_first(edges, codes, layout):
        for part in _parts(codes.size(0), layout, width):
            by_node = _back(grad[:, part.channels], edges, codes.size(0))
            _give(by_book, by_node, _EVERY_NODE, codes, layout, part)
    else:
        every = Part(slice(None), slice(None), slice(None))
        _give(by_book, grad, edges, codes, layout, every)
    return by_book.to(grad.dtype)


def grad_weight(
    grad: Tensor, edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout
) -> Tensor:
    """Gradient of a loss by the weights ``[E]``, from that by the sums."""
    books, grad = at_least_float32(codebooks.detach()), at_least_float32(grad.detach())
    width, parts = grad.size(1), [grad.new_zeros(0)]
    for block in _blocks(edges, codes, 2 * layout.num_codebooks + 3 * width, width):
        index, own = layout.rows(block.rows(codes)), block.shared(grad[block.targets])
        vectors = grad.new_empty(index.size(0), width)
        _compose(index, books, layout, vectors)
        parts.append((vectors * own.index_select(0, block.target)).sum(dim=1))
    return torch.cat(parts)


def neighbor_sum(edges: Edges, x: Tensor, *, check: bool) -> Tensor:
    """Sums ``[M, C]`` of the weighted rows of a float table ``[N, C]``."""
    if check:
        check_edges_in_range(edges, x.size(0))
    rows = at_least_float32(x.detach())
    out = rows.new_zeros(edges.targets(x.size(0)), x.size(1))
    _add_sums(out, edges, rows)
    return out.to(x.dtype)


class Part(NamedTuple):
    """Channels of vectors that are computed at once.

    Args:
        positions: Whose codewords they are of.
        channels: Which they are.
        columns: Which they are of the codewords.
    """

    positions: slice
    channels: slice
    columns: slice


def _parts(nodes: int, layout: Layout, width: int) -> Iterator[Part]:
    """Cut vectors so that those of all nodes fit."""
    fitting = TABLE_BYTES // (4 * max(1, nodes))
    channels = max(_FEWEST_CHANNELS, fitting // _FEWEST_CHANNELS * _FEWEST_CHANNELS)
    if layout.concat:
        step = max(1, channels // width)
        for first in range(0, layout.num_codebooks, step):
            last = min(first + step, layout.num_codebooks)
            covered = slice(first * width, last * width)
            yield Part(slice(first, last), covered, slice(None))
        return
    for first in range(0, width, channels):
        columns = slice(first, min(first + channels, width))
        yield Part(slice(None), columns, columns)


def _nodes_first(edges: Edges, codes: Tensor, layout: Layout) -> bool:
    """Whether codewords are read less often node by node than edge by edge."""
    nodes, positions = codes.size(0), layout.num_codebooks
    count = edges.count(nodes)
    if edges.rowptr is None or positions * (count - nodes) < 2 * count:
        return False
    # Nodes without edges may have any codes, which are then not read.
    return codes_in_range(codes, layout)


def _blocks(
    edges: Edges,
    codes: Tensor,
    edge_numbers: int,
    target_numbers: int,
    limit: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Blocks of edges, by how many numbers are formed for an edge and for a target."""
    # The row of codes, and the codes of one position, twice.
    of_codes = codes.size(1) * codes.element_size() + 16
    each = of_codes + 4 * edge_numbers
    return blocks(edges, codes, each, 4 * target_numbers + 8, limit)


def _compose(index: Tensor, books: Tensor, layout: Layout, out: Tensor) -> None:
    """Write vectors, given rows of the flat codebooks ``[B, D]``."""
    if layout.concat:
        words = out.view(-1, books.size(1))
        torch.index_select(books, 0, index.flatten(), out=words)
    else:
        out.copy_(functional.embedding_bag(index, books, mode="sum"))


def _decode(codes: Tensor, books: Tensor, layout: Layout, part: Part) -> Tensor:
    """Some channels of the vectors of all nodes."""
    books = books[:, part.columns].contiguous()
    width = part.channels.stop - part.channels.start
    table = books.new_empty(codes.size(0), width)
    for block in _blocks(_EVERY_NODE, codes, 2 * layout.num_codebooks, width):
        index = layout.rows(block.rows(codes))[:, part.positions]
        _compose(index, books, layout, table[block.targets])
    return table


def _add_sums(out: Tensor, edges: Edges, x: Tensor) -> None:
    """Add to each target the weighted rows of its sources."""
    for block in blocks(edges, x, 8, 8 * x.size(1) + 8):
        out[block.targets] += block.sum(x)


def _back(grad: Tensor, edges: Edges, nodes: int) -> Tensor:
    """The gradient by the vectors of all nodes, from that by the sums."""
    rowptr, col = edges.rowptr, edges.col
    if rowptr is None or col is None:
        raise TypeError("there are no edges to go back along")
    share = edges.share(slice(0, rowptr.numel() - 1))
    own = grad if share is None else grad * share.to(grad.dtype)
    by_node = grad.new_zeros(nodes, grad.size(1))
    back = Edges(*transpose(rowptr, col, edges.weight, nodes))
    _add_sums(by_node, back, own.contiguous())
    return by_node


def _give(
    by_book: Tensor,
    grad: Tensor,
    edges: Edges,
    codes: Tensor,
    layout: Layout,
    part: Part,
) -> None:
    """Add the gradients by sums to the codewords that their edges read."""
    by_book = by_book[:, part.columns]
    # Codewords are gone through once for each block: not more often than codes.
    limit = max(BLOCK_BYTES, 64 * by_book.size(0))
    for block in _blocks(edges, codes, 8 * layout.num_codebooks, grad.size(1), limit):
        index = layout.rows(block.rows(codes))[:, part.positions]
        positions = index.size(1)
        every = torch.arange(index.numel() + 1, dtype=torch.int32, device=index.device)
        pointers, entry, _ = transpose(every, index.flatten(), None, by_book.size(0))
        edge = entry // positions
        target = edge if edges.rowptr is None else block.target.index_select(0, edge)
        rows = block.shared(grad[block.targets])
        if layout.concat:
            target = target * positions + entry % positions
            rows = rows.reshape(-1, by_book.size(1))
        weight = None if block.weight is None else block.weight.index_select(0, edge)
        by_book += Segments(pointers).sum(rows.contiguous(), target, weight)
