"""Codewords by code: the hard lookup, one row per position or their sum."""

from torch import Tensor
from torch.nn import functional


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
    return functional.embedding(codes + offsets, codebooks)


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
    return functional.embedding_bag(
        codes + offsets, codebooks, mode="sum", per_sample_weights=scale
    )
