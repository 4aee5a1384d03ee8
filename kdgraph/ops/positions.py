"""Positions with alphabets of different size, side by side in one flat axis."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def position_offsets(codebook_sizes: Sequence[int]) -> list[int]:
    """Where the codebook of each position starts on the flat axis of ``sum(K_j)``.

    Example:
        >>> position_offsets([4, 2, 8])
        [0, 4, 6]
    """
    offsets, total = [], 0
    for size in codebook_sizes:
        offsets.append(total)
        total += size
    return offsets


def pad_positions(flat: Tensor, codebook_sizes: Sequence[int], fill: float) -> Tensor:
    """Split the last axis into positions, each padded to the largest alphabet.

    Args:
        flat: ``[*, sum(K_j)]``.
        codebook_sizes: The alphabet of each position, ``D`` of them.
        fill: What the padding holds; ``-inf`` makes it unselectable.

    Returns:
        ``[*, D, max(K_j)]``; a view where all alphabets have one size.

    Example:
        >>> pad_positions(torch.tensor([1.0, 2.0, 3.0]), [1, 2], fill=0.0)
        tensor([[1., 0.],
                [2., 3.]])
    """
    largest = max(codebook_sizes)
    if all(size == largest for size in codebook_sizes):
        return torch.unflatten(flat, -1, (len(codebook_sizes), largest))
    parts = torch.split(flat, list(codebook_sizes), dim=-1)
    padded = [
        functional.pad(part, (0, largest - part.size(-1)), value=fill) for part in parts
    ]
    return torch.stack(padded, dim=-2)
