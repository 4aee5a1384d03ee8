"""Codewords by code: the hard lookup, one row per position or their sum."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.ops.transforms import transforming


def lookup(codes: Tensor, codebooks: Tensor, offsets: Tensor) -> Tensor:
    r"""Take one codeword per position: :math:`e_{v,j} = C_j[k_{v,j}]`.

    Args:
        codes: ``[B, D]`` integers, column ``j`` in ``[0, K_j)``.
        codebooks: All codebooks on one axis, ``[sum(K_j), d]``, or ``[K, d]`` where
            the positions share one.
        offsets: ``[D]``, the first row of each position's codebook.

    Returns:
        Code vectors ``[B, D, d]``.
    """
    index = codes + offsets
    vectors: Tensor = _Lookup.apply(index, codebooks)  # type: ignore[no-untyped-call]
    return vectors


def lookup_sum(
    codes: Tensor, codebooks: Tensor, offsets: Tensor, scale: Tensor | None = None
) -> Tensor:
    r"""Sum the codewords of a row: :math:`\sum_j s_{v,j} C_j[k_{v,j}]`.

    The ``[B, D, d]`` code vectors are never formed.

    Args:
        codes: ``[B, D]`` integers, column ``j`` in ``[0, K_j)``.
        codebooks: ``[sum(K_j), d]`` or shared ``[K, d]``.
        offsets: ``[D]``, the first row of each position's codebook.
        scale: Weights ``[B, D]``, or ``None`` for ones.

    Returns:
        ``[B, d]``.
    """
    if transforming():
        # Torch maps over an embedding bag one by one.
        vectors = lookup(codes, codebooks, offsets)
        return (vectors if scale is None else vectors * scale.unsqueeze(-1)).sum(dim=1)
    return functional.embedding_bag(
        codes + offsets, codebooks, mode="sum", per_sample_weights=scale
    )


class _Lookup(torch.autograd.Function):
    """Rows by index, with a backward pass made for few rows and many indices.

    The embedding's own sorts for large tables; adding in place is up to ten times
    faster where a codebook has a few hundred rows.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(index: Tensor, weight: Tensor) -> Tensor:
        return functional.embedding(index, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        index, weight = inputs
        ctx.save_for_backward(index)
        ctx.num_rows = weight.size(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (index,) = ctx.saved_tensors
        rows = grads[0].reshape(-1, grads[0].size(-1))
        by_weight = rows.new_zeros(ctx.num_rows, rows.size(-1))
        return None, by_weight.index_add_(0, index.reshape(-1), rows)
