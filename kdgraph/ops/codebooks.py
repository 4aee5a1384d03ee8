"""Codebooks: the codewords of every position on one flat axis."""

from typing import NamedTuple

from torch import Tensor

from kdgraph.ops.positions import pad_positions


class Codebooks(NamedTuple):
    """The codewords of all positions, with what is needed to address them.

    Args:
        weight: ``[sum(K_j), d]``, or ``[max(K_j), d]`` where positions share one.
        offsets: ``[D]``, first row of each position; zeros where they share one.
        sizes: The alphabet of each position, ``(K_1, ..., K_D)``.
    """

    weight: Tensor
    offsets: Tensor
    sizes: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether all positions read the same codebook."""
        return self.weight.size(0) == max(self.sizes) and len(self.sizes) > 1

    def padded(self) -> Tensor:
        """One block per position, ``[D, max(K_j), d]``; rows past ``K_j`` are zero."""
        if self.shared:
            return self.weight.expand(len(self.sizes), -1, -1)
        by_position = pad_positions(self.weight.t(), self.sizes, fill=0.0)
        return by_position.permute(1, 2, 0)
