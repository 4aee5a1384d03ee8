"""Choosing by queries and keys, and the gradient of a choice, as operations of torch.

The compiled core takes one pass over rows; without it, and in other types than
``float32``, plain torch goes through them chunk by chunk.
"""

from typing import Any

import torch
from torch import Tensor

from kdgraph.compat import is_exporting
from kdgraph.ops import native_choices
from kdgraph.ops.backend import implementation
from kdgraph.ops.operation import operation
from kdgraph.ops.straight_through import (
    NARROW_QUERY,
    query_logits,
    row_chunks,
    softmax_gradient,
)


def nearest_query_codes(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """The best-scored choice of every position, ``int64`` ``[B, D]``.

    Args:
        query: ``[B, D, r]``.
        keys: ``[D, K, r]``.
        bias: ``[D, K]``; ``-inf`` makes a choice unselectable.
    """
    if is_exporting():
        return query_logits(query, keys, bias).argmax(dim=-1)
    codes: Tensor = _nearest_query_codes(query, keys, bias)
    return codes


@operation("nearest_query_codes")
def _nearest_query_codes(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    if _in_core(query):
        return native_choices.nearest(query, keys, bias)
    parts = [
        query_logits(query[part], keys, bias).argmax(dim=-1)
        for part in row_chunks(query.size(0), bias.numel())
    ]
    return torch.cat(parts)


def soft_choice_gradient(
    query: Tensor,
    keys: Tensor,
    bias: Tensor,
    temperature: Tensor,
    codebooks: Tensor,
    grad: Tensor,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by queries, keys and bias through the tempered softmax.

    Where a gradient of the gradient is wanted, plain torch gives it.

    Args:
        query: ``[B, D, r]``.
        keys: ``[D, K, r]``.
        bias: ``[D, K]``.
        temperature: Scalar.
        codebooks: ``[D, K, d]``.
        grad: By the code vectors ``[B, D, d]``, or by their sum ``[B, d]``.
        scale: Weights ``[B, D]`` of the positions in that sum, or ``None``.
    """
    given = query, keys, bias, temperature, codebooks, grad, scale
    if torch.is_grad_enabled():
        return _chunk_by_chunk(*given)
    found: tuple[Tensor, Tensor, Tensor] = _soft_choice_gradient(*given)
    return found


@operation("soft_choice_gradient")
def _soft_choice_gradient(
    query: Tensor,
    keys: Tensor,
    bias: Tensor,
    temperature: Tensor,
    codebooks: Tensor,
    grad: Tensor,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    given = query, keys, bias, temperature, codebooks, grad, scale
    return (native_choices.soft_gradient if _in_core(query) else _chunk_by_chunk)(
        *given
    )


def _chunk_by_chunk(
    query: Tensor,
    keys: Tensor,
    bias: Tensor,
    temperature: Tensor,
    codebooks: Tensor,
    grad: Tensor,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    by_query = []
    # Not added in place: under vmap a sum may have an axis that keys have not.
    by_keys, by_bias = torch.zeros_like(keys), torch.zeros_like(bias)
    for part in row_chunks(query.size(0), bias.numel()):
        by_logits = softmax_gradient(
            query_logits(query[part], keys, bias),
            temperature,
            codebooks,
            grad[part],
            None if scale is None else scale[part],
        ).to(keys.dtype)
        by_query.append(torch.einsum("bdk,dkr->bdr", by_logits, keys))
        by_keys = by_keys + torch.einsum("bdk,bdr->dkr", by_logits, query[part])
        by_bias = by_bias + by_logits.sum(dim=0)
    return torch.cat(by_query), by_keys, by_bias


def _in_core(query: Tensor) -> bool:
    narrow = query.size(-1) <= NARROW_QUERY and query.dtype == torch.float32
    return narrow and implementation(query).NAME == "native"


@_nearest_query_codes.fake
def _(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:  # noqa: ARG001
    return query.new_empty(query.shape[:2], dtype=torch.int64)


@_soft_choice_gradient.fake
def _(
    query: Tensor, keys: Tensor, bias: Tensor, *_rest: object
) -> tuple[Tensor, Tensor, Tensor]:
    contiguous = torch.contiguous_format
    return (
        torch.empty_like(query, memory_format=contiguous),
        torch.empty_like(keys, memory_format=contiguous),
        torch.empty_like(bias, memory_format=contiguous),
    )


class QueryStraightThrough(torch.autograd.Function):
    r"""Identity on ``vectors`` that also sends their gradient to queries and keys.

    The logits :math:`\langle q_{v,j}, \kappa_{j,k} \rangle + \beta_{j,k}` are
    recomputed in the backward pass, a block of rows at a time, so that ``[B, D, K]``
    never exists whole.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        vectors: Tensor,
        query: Tensor,  # noqa: ARG004
        keys: Tensor,  # noqa: ARG004
        bias: Tensor,  # noqa: ARG004
        temperature: Tensor,  # noqa: ARG004
        codebooks: Tensor,  # noqa: ARG004
        scale: Tensor | None,  # noqa: ARG004
    ) -> Tensor:
        """Return ``vectors``; see :func:`query_logits` for the shapes."""
        return vectors.view_as(vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep what the logits are recomputed from."""
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Pass the gradient on, and add the soft one."""
        query, keys, bias, temperature, codebooks, scale = ctx.saved_tensors
        by_query, by_keys, by_bias = soft_choice_gradient(
            query, keys, bias, temperature, codebooks, grads[0], scale
        )
        return grads[0], by_query, by_keys, by_bias, None, None, None
