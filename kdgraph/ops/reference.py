"""The operations over codes in plain torch, chunk by chunk: the specification.

What the native core and the Triton kernels do is held against this file. Working memory
is a few blocks of ``CHUNK_ELEMENTS`` numbers, whatever the graph.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from kdgraph.ops.check import check_codes_in_range, check_edges_in_range
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout
from kdgraph.ops.straight_through import at_least_float32

CHUNK_ELEMENTS = 1 << 21

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
        _check(edges, codes, layout)
    width = layout.width(codebooks.size(1))
    out = codebooks.new_empty(edges.count(codes.size(0)), width)
    for source, target, _ in _parts(edges, codes, width):
        out[target] = _compose(codes, codebooks, source, layout)
    return out


def spmm(
    edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout, *, check: bool
) -> Tensor:
    """Sums ``[M, C]`` of the weighted vectors of every target's sources."""
    if check:
        _check(edges, codes, layout)
    books = at_least_float32(codebooks)
    width = layout.width(books.size(1))
    out = books.new_zeros(edges.targets(codes.size(0)), width)
    for source, target, weight in _parts(edges, codes, width):
        vectors = _compose(codes, books, source, layout)
        if weight is not None:
            vectors = vectors * weight.to(vectors.dtype).unsqueeze(1)
        _add(out, target, vectors)
    return out.to(codebooks.dtype)


def grad_codebooks(
    grad: Tensor, edges: Edges, codes: Tensor, layout: Layout, *, width: int
) -> Tensor:
    """Gradient of a loss by the codebooks ``[R, S]``, from that by the sums."""
    grad = at_least_float32(grad)
    # A codeword may add up as many terms as there are edges.
    by_book = grad.new_zeros(layout.num_rows, width, dtype=torch.float64)
    for source, target, weight in _parts(edges, codes, grad.size(1)):
        vectors = grad[target]
        if weight is not None:
            vectors = vectors * weight.to(vectors.dtype).unsqueeze(1)
        rows, vectors = layout.rows(codes, source), vectors.double()
        if layout.concat:
            by_book.index_add_(0, rows.flatten(), vectors.reshape(-1, width))
        else:
            for column in rows.unbind(dim=1):
                by_book.index_add_(0, column, vectors)
    return by_book.to(grad.dtype)


def grad_weight(
    grad: Tensor, edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout
) -> Tensor:
    """Gradient of a loss by the weights ``[E]``, from that by the sums."""
    books, grad = at_least_float32(codebooks), at_least_float32(grad)
    parts = []
    for source, target, share in _parts(
        edges._replace(weight=None), codes, grad.size(1)
    ):
        vectors = _compose(codes, books, source, layout)
        by_weight = (vectors * grad[target]).sum(dim=1)
        parts.append(by_weight if share is None else by_weight * share.to(grad.dtype))
    return torch.cat(parts) if parts else grad.new_zeros(0)


def neighbor_sum(edges: Edges, x: Tensor, *, check: bool) -> Tensor:
    """Sums ``[M, C]`` of the weighted rows of a float table ``[N, C]``."""
    if check:
        check_edges_in_range(edges, x.size(0))
    rows = at_least_float32(x)
    out = rows.new_zeros(edges.targets(x.size(0)), x.size(1))
    for source, target, weight in _parts(edges, x, x.size(1)):
        vectors = rows[source]
        if weight is not None:
            vectors = vectors * weight.to(vectors.dtype).unsqueeze(1)
        _add(out, target, vectors)
    return out.to(x.dtype)


def _parts(
    edges: Edges, nodes: Tensor, width: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    count = edges.count(nodes.size(0))
    step = max(1, CHUNK_ELEMENTS // width)
    for start in range(0, count, step):
        yield edges.part(start, min(start + step, count), nodes.device)


def _add(out: Tensor, target: Tensor, vectors: Tensor) -> None:
    """Add rows to those of their targets, which rise; a hub may have thousands."""
    rows, place = torch.unique_consecutive(target, return_inverse=True)
    sums = vectors.new_zeros(rows.numel(), vectors.size(1), dtype=torch.float64)
    sums.index_add_(0, place, vectors.double())
    out.index_add_(0, rows, sums.to(out.dtype))


def _compose(codes: Tensor, books: Tensor, nodes: Tensor, layout: Layout) -> Tensor:
    rows = layout.rows(codes, nodes)
    if layout.concat:
        return books[rows].flatten(1)
    total = books[rows[:, 0]]
    for column in rows.unbind(dim=1)[1:]:
        total = total + books[column]
    return total


def _check(edges: Edges, codes: Tensor, layout: Layout) -> None:
    check_edges_in_range(edges, codes.size(0))
    check_codes_in_range(codes, layout)
