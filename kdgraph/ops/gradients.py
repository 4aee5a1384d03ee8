"""The gradients of the operations over codes, operations of torch themselves.

They are differentiated no further.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from kdgraph.ops import unfused
from kdgraph.ops.backend import Fused, implementation
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout
from kdgraph.ops.operation import operation


@operation("coded_grad_codebooks")
def grad_codebooks(
    grad: Tensor,
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    mean: bool,
) -> Tensor:
    """The gradient by the codebooks; of those only shape and type are read."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    edges = Edges(rowptr, col, weight, mean)
    run = implementation(codebooks)
    found = run.grad_codebooks(
        grad.contiguous(), edges, codes, layout, width=codebooks.size(1)
    )
    return found.to(codebooks.dtype)


@operation("coded_grad_linear")
def grad_linear(
    grad: Tensor,
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    by_codebooks: bool,
    by_matrix: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients by the codebooks and by the matrix; empty where not asked for."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    edges, run = Edges(rowptr, col, weight), implementation(codebooks)
    given = grad.contiguous(), edges, codes, codebooks, matrix, layout
    needed = by_codebooks, by_matrix
    if isinstance(run, Fused) and run.fuses(codebooks, matrix):
        found = run.grad_linear(*given, needed=needed)
    else:
        found = unfused.grad_linear(run, *given, needed=needed)
    first, second = (
        like.new_empty(0) if one is None else one.to(like.dtype)
        for one, like in zip(found, (codebooks, matrix), strict=True)
    )
    return first, second


@operation("coded_grad_weight")
def grad_weight(
    grad: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    codes: Tensor,
    codebooks: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    mean: bool,
) -> Tensor:
    """The gradient by the weights; of those only shape and type are read."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    edges = Edges(rowptr, col, None, mean)
    run = implementation(codebooks)
    found = run.grad_weight(grad.contiguous(), edges, codes, codebooks, layout)
    return found.to(weight.dtype)


@grad_linear.fake
def _(
    grad: Tensor,
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    *how: Any,
) -> tuple[Tensor, Tensor]:
    *_, by_codebooks, by_matrix = how
    return (
        torch.empty_like(codebooks) if by_codebooks else codebooks.new_empty(0),
        torch.empty_like(matrix) if by_matrix else matrix.new_empty(0),
    )


@grad_codebooks.fake
def _(
    grad: Tensor,
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    *_layout: object,
) -> Tensor:
    return torch.empty_like(codebooks)


@grad_weight.fake
def _(
    grad: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    *_rest: object,
) -> Tensor:
    return torch.empty_like(weight)


def _refuse_twice(ctx: Any, *grads: Tensor | None) -> NoReturn:
    raise RuntimeError(
        "the operations over codes are differentiable once, and a gradient of a "
        "gradient was asked for; compose the vectors, encoder(n_id), for such steps"
    )


def _keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    return


for _gradient in (grad_codebooks, grad_weight, grad_linear):
    # Without a formula torch would take the gradient of a gradient for zero.
    _gradient.differentiate(_refuse_twice, _keep_nothing)
