"""Mapped sums by an operation after the other, with sums of all targets in between."""

from torch import Tensor

from kdgraph.ops.backend import Implementation
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout
from kdgraph.ops.straight_through import at_least_float32


def linear(
    run: Implementation,
    edges: Edges,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    layout: Layout,
    *,
    check: bool,
) -> Tensor:
    """Sums of vectors along edges, times the transposed matrix."""
    sums = run.spmm(edges, codes, codebooks, layout, check=check)
    return sums @ matrix.t()


def grad_linear(
    run: Implementation,
    grad: Tensor,
    edges: Edges,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    layout: Layout,
    *,
    needed: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients by the codebooks and the matrix; sums are made again."""
    grad, matrix = at_least_float32(grad), at_least_float32(matrix)
    by_books = by_matrix = None
    if needed[0]:
        width = codebooks.size(1)
        by_books = run.grad_codebooks(grad @ matrix, edges, codes, layout, width=width)
    if needed[1]:
        books = at_least_float32(codebooks)
        sums = run.spmm(edges, codes, books, layout, check=False)
        by_matrix = grad.t() @ sums
    return by_books, by_matrix
