"""Rows of floats: checked, and told apart."""

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22
"""Entries of the largest block of numbers that exists at once."""


def check_rows(x: Tensor, reader: str) -> Tensor:
    """Check rows ``[N, C]`` and give them as float32, without gradient.

    Raises:
        TypeError: Rows that are not a floating point tensor.
        ValueError: Rows that are not ``[N, C]`` or not finite.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{reader} expects floating point rows, got {kind}")
    if x.dim() != 2 or x.numel() == 0:
        raise ValueError(
            f"{reader} expects rows [N, C] with N and C of at least 1, got shape "
            f"{tuple(x.shape)}"
        )
    if not bool(torch.isfinite(x.sum(dtype=torch.float64))):
        raise ValueError(
            f"{reader} expects finite rows, got NaN or infinity among them"
        )
    return x.detach().float()


def count_distinct(x: Tensor, enough: int) -> int:
    """How many distinct rows there are; counting ends at ``enough``.

    Example:
        >>> count_distinct(torch.tensor([[1.0], [1.0], [2.0]]), 10)
        2
    """
    found = torch.empty(0, dtype=torch.int64, device=x.device)
    for block in torch.split(x, max(enough, CHUNK_ELEMENTS // x.size(1))):
        found = torch.unique(torch.cat((found, _keys(block))))
        if found.numel() >= enough:
            return enough
    return found.numel()


def distinct(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first of each set of equal rows, ascending, and the set of each row.

    Example:
        >>> distinct(torch.tensor([[1.0], [2.0], [1.0]]))
        (tensor([0, 1]), tensor([0, 1, 0]))
    """
    unique, inverse = torch.unique(_keys(x), return_inverse=True)
    first = inverse.new_full((unique.numel(),), x.size(0))
    place = torch.arange(x.size(0), device=x.device)
    first, order = first.scatter_reduce_(0, inverse, place, "amin").sort()
    return first, order.argsort()[inverse]


def _keys(x: Tensor) -> Tensor:
    """A 64-bit hash of each row's bits: no sum of floats depends on its order."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(1 << 62, (x.size(1),), generator=generator) * 2 + 1
    factors = factors.to(x.device)
    blocks = torch.split(x, max(1, CHUNK_ELEMENTS // x.size(1)))
    # Adding zero turns -0 into 0.
    keys = [((b + 0.0).view(torch.int32) * factors).sum(dim=1) for b in blocks]
    return torch.cat(keys)
