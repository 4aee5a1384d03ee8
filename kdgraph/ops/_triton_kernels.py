"""Triton kernels of the operations over codes, which :mod:`kdgraph.ops.triton` calls.

A program owns one target, however many edges that has, or ``BLOCK_E`` targets where
each has one edge (``rowptr`` is ``None``). It works on tiles ``[BLOCK_E, BLOCK_D,
BLOCK_S]`` of edges, positions and channels of a codeword: positions have an axis of
their own so that a code is read once for all channels behind it, and a codeword as the
contiguous numbers it is.

Codebooks are gathered from global memory. They are small enough for L1 and L2 to keep
what is hot of them; a copy in shared memory would cost every program the whole table
for the few rows it reads, and would not fit for large alphabets.

Sums are in float32, RUN tiles of edges at a time, and sums of those in float64: a hub
may have millions of edges, all to the same codeword. Ids of nodes, targets and edges
are widened to int64 before they are multiplied.

An operand that is ``None`` makes a variant of the kernel.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

import triton
from triton import language as tl

RUN = tl.constexpr(32)


@triton.jit
def spmm(
    out,
    rowptr,
    col,
    weight,
    codes,
    codebooks,
    tables,
    num_edges,
    D: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    SPAN: tl.constexpr,
    CONCAT: tl.constexpr,
    MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Sums ``[M, C]`` of the weighted vectors of every target's sources.

    Grid: targets, blocks of channels, and blocks of positions where codewords stand
    side by side; where they are added one program goes through all positions.
    """
    first, stop = _edges_of_program(rowptr, num_edges, BLOCK_E)
    channel = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    if rowptr is None:
        target = first + tl.arange(0, BLOCK_E)
        inside = target < stop
        total = tl.zeros([BLOCK_E, BLOCK_D, BLOCK_S], tl.float32)
    else:
        target = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
        inside = target >= 0
        total = tl.zeros([1, BLOCK_D, BLOCK_S], tl.float64)
    for first_d in range(tl.program_id(2) * BLOCK_D, D, tl.num_programs(2) * BLOCK_D):
        position = first_d + tl.arange(0, BLOCK_D)
        for run in range(first, stop, RUN * BLOCK_E):
            partial = tl.zeros([BLOCK_E, BLOCK_D, BLOCK_S], tl.float32)
            for start in range(run, tl.minimum(run + RUN * BLOCK_E, stop), BLOCK_E):
                edge = start + tl.arange(0, BLOCK_E)
                live = edge < stop
                row = _book_rows(
                    col, codes, tables, edge, position, live, D, STRIDE, SPAN
                )
                mask = _mask(live, position, channel, D, S)
                at = row[:, :, None] * S + channel[None, None, :]
                vectors = tl.load(codebooks + at, mask=mask, other=0.0).to(tl.float32)
                share = _share(weight, edge, live, BLOCK_E)
                partial += vectors * share[:, None, None]
            if rowptr is not None:
                partial = tl.sum(partial, axis=0, keep_dims=True).to(tl.float64)
            total += partial
    if MEAN:
        total /= tl.maximum(stop - first, 1)
    if CONCAT:
        place = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    else:
        place = tl.arange(0, 1)
        total = tl.sum(total, axis=1, keep_dims=True)
    at = _vector_at(target, place, channel, D, S, CONCAT)
    tl.store(out + at, total.to(tl.float32), mask=_mask(inside, place, channel, D, S))


@triton.jit
def grad_codebooks(
    out,
    grad,
    scale,
    rowptr,
    col,
    weight,
    codes,
    tables,
    num_edges,
    D: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    SPAN: tl.constexpr,
    CONCAT: tl.constexpr,
    MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Add every edge's gradient to the rows ``[R, S]`` that its source reads.

    In float64, as a row may have as many terms as there are edges, or, with a ``scale``
    ``[S]``, in int64 as multiples of its inverse.
    Grid: targets, blocks of channels, blocks of positions.
    """
    first, stop = _edges_of_program(rowptr, num_edges, BLOCK_E)
    channel = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    position = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    for start in range(first, stop, BLOCK_E):
        edge = start + tl.arange(0, BLOCK_E)
        live = edge < stop
        row = _book_rows(col, codes, tables, edge, position, live, D, STRIDE, SPAN)
        mask = _mask(live, position, channel, D, S)
        target = _target(rowptr, edge)
        at = _vector_at(target, position, channel, D, S, CONCAT)
        by_vector = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
        share = _share(weight, edge, live, BLOCK_E)
        if MEAN:
            share /= (stop - first).to(tl.float32)
        by_vector = (by_vector * share[:, None, None]).to(tl.float64)
        if scale is not None:
            per_unit = tl.load(scale + channel, mask=channel < S, other=0.0)
            by_vector = tl.floor(by_vector * per_unit[None, None, :] + 0.5).to(tl.int64)
        at = row[:, :, None] * S + channel[None, None, :]
        tl.atomic_add(out + at, by_vector, mask=mask, sem="relaxed")


@triton.jit
def grad_weight(
    out,
    grad,
    rowptr,
    col,
    codes,
    codebooks,
    tables,
    num_edges,
    D: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    SPAN: tl.constexpr,
    CONCAT: tl.constexpr,
    MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Dot products ``[E]`` of every source's vector and its target's gradient.

    Grid: targets.
    """
    first, stop = _edges_of_program(rowptr, num_edges, BLOCK_E)
    for start in range(first, stop, BLOCK_E):
        edge = start + tl.arange(0, BLOCK_E)
        live = edge < stop
        target = _target(rowptr, edge)
        products = tl.zeros([BLOCK_E, BLOCK_D, BLOCK_S], tl.float32)
        for first_d in range(0, D, BLOCK_D):
            position = first_d + tl.arange(0, BLOCK_D)
            row = _book_rows(col, codes, tables, edge, position, live, D, STRIDE, SPAN)
            for first_s in range(0, S, BLOCK_S):
                channel = first_s + tl.arange(0, BLOCK_S)
                mask = _mask(live, position, channel, D, S)
                at = row[:, :, None] * S + channel[None, None, :]
                vectors = tl.load(codebooks + at, mask=mask, other=0.0)
                at = _vector_at(target, position, channel, D, S, CONCAT)
                by_vector = tl.load(grad + at, mask=mask, other=0.0)
                products += vectors.to(tl.float32) * by_vector.to(tl.float32)
        dots = tl.sum(tl.sum(products, axis=2), axis=1)
        if MEAN:
            dots /= (stop - first).to(tl.float32)
        tl.store(out + edge, dots, mask=live)


@triton.jit
def _edges_of_program(rowptr, num_edges, BLOCK_E: tl.constexpr):
    """The first edge of a program, and the one behind its last."""
    program = tl.program_id(0).to(tl.int64)
    if rowptr is None:
        first = program * BLOCK_E
        stop = tl.minimum(first + BLOCK_E, num_edges)
    else:
        first = tl.load(rowptr + program).to(tl.int64)
        stop = tl.load(rowptr + program + 1).to(tl.int64)
    return first, stop


@triton.jit
def _target(rowptr, edge):
    """The target of each edge."""
    target = edge
    if rowptr is not None:
        target = edge * 0 + tl.program_id(0)
    return target


@triton.jit
def _share(weight, edge, live, BLOCK_E: tl.constexpr):
    """How much each edge counts."""
    if weight is None:
        share = tl.full([BLOCK_E], 1.0, tl.float32)
    else:
        share = tl.load(weight + edge, mask=live, other=0.0).to(tl.float32)
    return share


@triton.jit
def _book_rows(
    col,
    codes,
    tables,
    edge,
    position,
    live,
    D: tl.constexpr,
    STRIDE: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Rows of the codebooks that edges' sources read, ``[BLOCK_E, BLOCK_D]``.

    ``tables`` has, for each position, its first row of the codebooks, its first bit in
    a packed row, and its bits. SPAN is the largest number of bytes that a code lies in,
    and 0 where codes are integers. Without codes a source reads the row of its number.
    """
    source = edge
    if col is not None:
        source = tl.load(col + edge, mask=live, other=0).to(tl.int64)
    if codes is None:
        row = source[:, None] + position[None, :]
    else:
        inside = position < D
        mask = live[:, None] & inside[None, :]
        start_of_row = codes + source[:, None] * STRIDE
        if SPAN == 0:
            code = tl.load(start_of_row + position[None, :], mask=mask, other=0)
            code = code.to(tl.int32)
        else:
            bit = tl.load(tables + D + position, mask=inside, other=0)
            bits = tl.load(tables + 2 * D + position, mask=inside, other=0)
            byte, shift = start_of_row + (bit >> 3)[None, :], bit & 7
            code = tl.load(byte, mask=mask, other=0).to(tl.int32)
            if SPAN > 1:
                more = mask & (shift + bits > 8)[None, :]
                code |= tl.load(byte + 1, mask=more, other=0).to(tl.int32) << 8
            if SPAN > 2:
                more = mask & (shift + bits > 16)[None, :]
                code |= tl.load(byte + 2, mask=more, other=0).to(tl.int32) << 16
            code = (code >> shift[None, :]) & ((1 << bits) - 1)[None, :]
        first = tl.load(tables + position, mask=inside, other=0)
        row = (first[None, :] + code).to(tl.int64)
    return row


@triton.jit
def _vector_at(
    target, position, channel, D: tl.constexpr, S: tl.constexpr, CONCAT: tl.constexpr
):
    """Where the channels of targets lie in ``[M, C]``."""
    if CONCAT:
        first = target[:, None] * (D * S) + position[None, :] * S
    else:
        first = target[:, None] * S + position[None, :] * 0
    return first[:, :, None] + channel[None, None, :]


@triton.jit
def _mask(live, position, channel, D: tl.constexpr, S: tl.constexpr):
    """What of a tile there is."""
    return (
        live[:, None, None]
        & (position < D)[None, :, None]
        & (channel < S)[None, None, :]
    )
