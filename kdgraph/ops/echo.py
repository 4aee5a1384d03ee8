"""Echoes: zeros that carry to the choice of codes what their values' gradient is."""

from typing import Any

import torch
from torch import Tensor

from kdgraph.ops.neighbor_sum import neighbor_sum


class Echo(torch.autograd.Function):
    r"""Identity on sums over codes whose gradient also goes to the vectors summed.

    The sums :math:`Y = A X M^\top` were read off codes, so that X exists nowhere. In
    its place stand zeros ``[N, W]``, one number expanded, and in the backward pass they
    get :math:`A^\top G M`, which is the gradient by X.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        sums: Tensor,
        zeros: Tensor,  # noqa: ARG004
        matrix: Tensor | None,  # noqa: ARG004
        rowptr: Tensor | None,  # noqa: ARG004
        col: Tensor | None,  # noqa: ARG004
        weight: Tensor | None,  # noqa: ARG004
    ) -> Tensor:
        """Return ``sums``.

        Args:
            sums: ``[M, H]``.
            zeros: ``[N, W]``.
            matrix: ``[H, W]``, or ``None`` for the identity.
            rowptr: Of A transposed, ``[N + 1]``, or ``None`` where A is the identity.
            col: Of A transposed, ``[E]``.
            weight: Of A transposed, ``[E]``, or ``None`` for ones.
        """
        return sums.view_as(sums)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep the map and the transposed graph."""
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Pass the gradient on, and sum it along the transposed graph."""
        matrix, rowptr, col, weight = ctx.saved_tensors
        grad = grads[0]
        narrows = matrix is not None and matrix.size(1) < matrix.size(0)
        by_zeros = grad @ matrix.to(grad.dtype) if narrows else grad
        if rowptr is not None:
            by_zeros = neighbor_sum(rowptr, col, weight, by_zeros, check=False)
        if matrix is not None and not narrows:
            by_zeros = by_zeros @ matrix.to(grad.dtype)
        return grad, by_zeros, None, None, None, None


class ScaledEcho(torch.autograd.Function):
    """Zeros ``[B, D, d]`` that scale the gradient on its way to others."""

    generate_vmap_rule = True

    @staticmethod
    def forward(zeros: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG004
        """Return ``zeros``; ``scale`` is ``[B, D]``."""
        return zeros.view_as(zeros)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep the scale."""
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Scale the gradient."""
        (scale,) = ctx.saved_tensors
        return grads[0] * scale.unsqueeze(-1).to(grads[0].dtype), None


class QueryEcho(torch.autograd.Function):
    """Zeros whose gradient is copied to a query: vector quantisation."""

    generate_vmap_rule = True

    @staticmethod
    def forward(query: Tensor, zeros: Tensor, scale: Tensor | None) -> Tensor:  # noqa: ARG004
        """Return ``zeros``, ``[B, D, d]``, or ``[B, d]`` for a sum over positions.

        Args:
            query: ``[B, D, d]``, or ``[B, d]`` for the sum.
            zeros: What to return.
            scale: Weights ``[B, D]`` of the positions, or ``None``.
        """
        return zeros.view_as(zeros)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep the scale, and what the query looks like."""
        query, _, scale = inputs
        ctx.save_for_backward(scale)
        ctx.by_position = query.dim() == 3
        ctx.shape, ctx.dtype = query.shape, query.dtype

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Copy the gradient, to each position where the query has them."""
        (scale,) = ctx.saved_tensors
        grad = grads[0]
        if ctx.by_position:
            if grad.dim() == 2:
                grad = grad.unsqueeze(1)
            if scale is not None:
                grad = grad * scale.unsqueeze(-1).to(grad.dtype)
        return grad.expand(ctx.shape).to(ctx.dtype), None, None
