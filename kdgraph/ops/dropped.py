"""Dropped positions as codes: they read a codeword of zeros."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.ops.codebooks import Codebooks
from kdgraph.ops.positions import position_offsets


def with_zero_codewords(codebooks: Codebooks, factor: Tensor | float) -> Codebooks:
    """Codebooks times a factor, each with one codeword of zeros after its own.

    Example:
        >>> books = Codebooks(torch.ones(3, 1), torch.tensor([0, 2]), (2, 1))
        >>> longer = with_zero_codewords(books, 2.0)
        >>> longer.weight.flatten().tolist(), longer.sizes
        ([2.0, 2.0, 0.0, 2.0, 0.0], (3, 2))
    """
    weight, sizes = codebooks.weight * factor, codebooks.sizes
    if codebooks.shared:
        longer = (max(sizes) + 1,) * len(sizes)
        return Codebooks(
            functional.pad(weight, (0, 0, 0, 1)), codebooks.offsets, longer
        )
    parts = [
        functional.pad(part, (0, 0, 0, 1)) for part in torch.split(weight, list(sizes))
    ]
    longer = tuple(size + 1 for size in sizes)
    offsets = torch.tensor(position_offsets(longer), device=weight.device)
    return Codebooks(torch.cat(parts), offsets, longer)


def drop_codes(codes: Tensor, scale: Tensor, sizes: Sequence[int]) -> Tensor:
    """Codes ``[B, D]``, those with a scale of 0 at the last of ``sizes`` choices."""
    last = torch.tensor(sizes, device=codes.device) - 1
    return torch.where(scale == 0, last, codes)
