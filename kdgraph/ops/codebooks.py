"""Codebooks: the codewords of every position on one flat axis."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.ops.positions import pad_positions
from kdgraph.ops.rounding import Stored, restore


class Codebooks(NamedTuple):
    """The codewords of all positions, with what is needed to address them.

    Args:
        weight: ``[sum(K_j), d]``, or ``[max(K_j), d]`` where positions share one.
        offsets: ``[D]``, first row of each position; zeros where they share one.
        sizes: The alphabet of each position, ``(K_1, ..., K_D)``.
        scale: What a step of each codebook is worth, ``[D]``, or ``[1]`` where they
            share one, if the weight is of 8-bit integers. (default: ``None``)
    """

    weight: Tensor
    offsets: Tensor
    sizes: tuple[int, ...]
    scale: Tensor | None = None

    @property
    def shared(self) -> bool:
        """Whether all positions read the same codebook."""
        return self.weight.size(0) == max(self.sizes) and len(self.sizes) > 1

    def dequantized(self) -> Tensor:
        """The codewords as ``float32``: 8-bit integers times their scale."""
        groups = (self.weight.size(0),) if self.shared else self.sizes
        return restore(Stored(self.weight, self.scale), groups, torch.float32)

    def padded(self) -> Tensor:
        """One block per position, ``[D, max(K_j), d]``; rows past ``K_j`` are zero."""
        if self.shared:
            return self.weight.expand(len(self.sizes), -1, -1)
        by_position = pad_positions(self.weight.t(), self.sizes, fill=0.0)
        return by_position.permute(1, 2, 0)
