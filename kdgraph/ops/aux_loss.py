"""Auxiliary losses that ride on vectors, so that no loss has to be told of them."""

from typing import Any

import torch
from torch import Tensor

from kdgraph.compat import apply


def loss_carrier(loss: Tensor) -> Tensor:
    """A zero whose backward pass gives an auxiliary loss the gradient 1, once.

    However many tensors :func:`carry` it, torch sums what reaches it before it passes
    anything on.

    Args:
        loss: A scalar.

    Example:
        >>> weight = torch.tensor(3.0, requires_grad=True)
        >>> carrier = loss_carrier(weight.square())
        >>> first, second = (carry(x, carrier) for x in torch.ones(2, 4))
        >>> (5 * first.sum() + second.sum()).backward()
        >>> weight.grad
        tensor(6.)
    """
    carrier: Tensor = apply(_Carrier, loss)
    return carrier


def carry(x: Tensor, carrier: Tensor) -> Tensor:
    """The same values; a backward pass through them reaches the carried loss too.

    Args:
        x: Of any shape.
        carrier: What :func:`loss_carrier` gave.
    """
    carried: Tensor = apply(_Carried, x, carrier)
    return carried


class _Carrier(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(loss: Tensor) -> Tensor:
        return torch.zeros_like(loss)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        return torch.ones_like(grads[0])


class _Carried(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, carrier: Tensor) -> Tensor:  # noqa: ARG004
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.dtype = inputs[1].dtype

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0].new_zeros((), dtype=ctx.dtype)
