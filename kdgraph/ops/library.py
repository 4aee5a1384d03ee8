"""The operations over codes as torch sees them: schema, backward pass, fake kernels.

``kdgraph::coded_gather``, ``kdgraph::coded_spmm`` and the others take flat tensors and
plain numbers only. The functions to call are in :mod:`kdgraph.ops.coded`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdgraph.ops import unfused
from kdgraph.ops.backend import Fused, implementation
from kdgraph.ops.edges import Edges
from kdgraph.ops.gradients import grad_codebooks, grad_linear, grad_weight
from kdgraph.ops.layout import Layout
from kdgraph.ops.operation import operation


@operation("coded_gather")
def gather(
    codes: Tensor,
    codebooks: Tensor,
    n_id: Tensor | None,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    check: bool,
) -> Tensor:
    """Compose the vectors of nodes; see :func:`kdgraph.ops.coded_gather`."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    run = implementation(codebooks)
    return run.gather(codes, codebooks, n_id, layout, check=check)


@operation("coded_spmm")
def spmm(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    mean: bool,
    check: bool,
) -> Tensor:
    """Sum vectors along edges; see :func:`kdgraph.ops.coded_spmm`."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    edges = Edges(rowptr, col, weight, mean)
    run = implementation(codebooks)
    return run.spmm(edges, codes, codebooks, layout, check=check)


@operation("coded_linear")
def linear(
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    check: bool,
) -> Tensor:
    """Map the sums of vectors along edges; see :func:`kdgraph.ops.coded_linear`."""
    layout = Layout.of(sizes, codebooks, packed=packed, concat=concat)
    edges, run = Edges(rowptr, col, weight), implementation(codebooks)
    given = edges, codes, codebooks, matrix, layout
    if isinstance(run, Fused) and run.fuses(codebooks, matrix):
        return run.linear(*given, check=check)
    return unfused.linear(run, *given, check=check)


@operation("neighbor_sum")
def neighbor_sum(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    x: Tensor,
    rowptr_t: Tensor | None,
    col_t: Tensor | None,
    weight_t: Tensor | None,
    check: bool,
) -> Tensor:
    """Sum float rows along edges; see :func:`kdgraph.ops.neighbor_sum`."""
    run = implementation(x)
    return run.neighbor_sum(Edges(rowptr, col, weight), x.contiguous(), check=check)


def _width(codebooks: Tensor, sizes: Sequence[int], *, concat: bool) -> int:
    return codebooks.size(1) * (len(sizes) if concat else 1)


@gather.fake
def _(
    codes: Tensor,
    codebooks: Tensor,
    n_id: Tensor | None,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    *_check: object,
) -> Tensor:
    rows = codes.size(0) if n_id is None else n_id.size(0)
    return codebooks.new_empty(rows, _width(codebooks, sizes, concat=concat))


@spmm.fake
def _(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    sizes: Sequence[int],
    packed: bool,
    concat: bool,
    *_how: object,
) -> Tensor:
    width = _width(codebooks, sizes, concat=concat)
    return codebooks.new_empty(rowptr.size(0) - 1, width)


@linear.fake
def _(
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    *_layout: object,
) -> Tensor:
    one = codes if col is None else col
    targets = one.size(0) if rowptr is None else rowptr.size(0) - 1
    return codebooks.new_empty(targets, matrix.size(0))


@neighbor_sum.fake
def _(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    x: Tensor,
    *_transposed: object,
) -> Tensor:
    return x.new_empty(rowptr.size(0) - 1, x.size(1))


def _keep_neighbor_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3], *inputs[4:7])


def _neighbor_sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    forward, transposed = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
    by_x = None
    if ctx.needs_input_grad[3]:
        if transposed[0] is None or transposed[1] is None:
            raise RuntimeError(
                "neighbor_sum was not given the transposed graph, which the gradient "
                "by x is summed along; pass transposed=(rowptr, col, weight)"
            )
        by_x = neighbor_sum(*transposed[:3], grad, *forward, False)
    return None, None, None, by_x, None, None, None, None


def _keep_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    codes, codebooks, n_id, *layout, _ = inputs
    ctx.save_for_backward(codes, codebooks, n_id)
    ctx.layout = layout


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    codes, codebooks, n_id = ctx.saved_tensors
    by_codebooks = None
    if ctx.needs_input_grad[1]:
        by_codebooks = grad_codebooks(
            grad, None, n_id, None, codes, codebooks, *ctx.layout, False
        )
    return None, by_codebooks, None, None, None, None, None


def _keep_spmm(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, sizes, packed, concat, mean, _ = inputs
    ctx.save_for_backward(*tensors)
    ctx.layout = sizes, packed, concat, mean


def _spmm_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    by_weight = by_codebooks = None
    if ctx.needs_input_grad[2]:
        by_weight = grad_weight(grad, *saved, *ctx.layout)
    if ctx.needs_input_grad[4]:
        by_codebooks = grad_codebooks(grad, *saved, *ctx.layout)
    return None, None, by_weight, None, by_codebooks, None, None, None, None, None


def _keep_linear(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, sizes, packed, concat, _ = inputs
    ctx.save_for_backward(*tensors)
    ctx.layout = sizes, packed, concat


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    if ctx.needs_input_grad[2]:
        raise RuntimeError(
            "the operation coded_linear has no gradient by the weights of edges; call "
            "kdgraph.ops.coded_linear, which then keeps the sums"
        )
    needed = ctx.needs_input_grad[4:6]
    found = grad_linear(grad, *ctx.saved_tensors, *ctx.layout, *needed)
    given = (one if asked else None for one, asked in zip(found, needed, strict=True))
    return None, None, None, None, *given, None, None, None, None


gather.differentiate(_gather_backward, _keep_gather)
spmm.differentiate(_spmm_backward, _keep_spmm)
linear.differentiate(_linear_backward, _keep_linear)
neighbor_sum.differentiate(_neighbor_sum_backward, _keep_neighbor_sum)
for _one in (gather, spmm, linear, neighbor_sum):
    # Sums over thousands of neighbours want float32, and codebooks are small.
    _one.autocast(torch.float32)
