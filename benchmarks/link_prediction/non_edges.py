"""NonEdges: pairs of nodes that are not linked, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor


class NonEdges:
    """Draw nodes that a node is not linked with.

    Uniform among all that are neither the node itself nor a neighbour: what is either
    is drawn again.

    Args:
        adj: Square adjacency, symmetric where links have no direction.

    Raises:
        ValueError: A node that is linked with all others, so that nothing is left.

    Example:
        >>> path = sparse.csr_array(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
        >>> NonEdges(path).tails(torch.tensor([0, 1]), 2)
        tensor([[2, 2],
                [2, 2]])
    """

    def __init__(self, adj: sparse.csr_array[Any, tuple[int, int]]) -> None:
        self.num_nodes = int(adj.shape[0])
        # A node is no partner of its own, whether or not the graph has the loop.
        looped = sparse.csr_array(adj.astype(bool) + sparse.eye_array(*adj.shape))
        looped.sort_indices()
        counts = np.diff(looped.indptr)
        if self.num_nodes == 0 or counts.max() >= self.num_nodes:
            raise ValueError(
                f"each of {self.num_nodes} nodes needs one that it is not linked with, "
                "got a node that is linked with all; take a sparser graph"
            )
        rows = np.repeat(np.arange(self.num_nodes), counts)
        keys = rows * self.num_nodes + looped.indices.astype(np.int64)
        self._known = torch.from_numpy(keys)

    def tails(
        self, heads: Tensor, count: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Nodes that heads are not linked with.

        Args:
            heads: ``[M]``.
            count: How many for each, drawn with replacement.
            generator: Of the draw. (default: torch's own)

        Returns:
            ``[M, count]``.
        """
        heads = heads.reshape(-1, 1).expand(-1, count).reshape(-1)
        drawn = self._draw(heads.numel(), generator)
        wrong = self._linked(heads, drawn).nonzero().squeeze(1)
        while wrong.numel():
            drawn[wrong] = self._draw(wrong.numel(), generator)
            wrong = wrong[self._linked(heads[wrong], drawn[wrong])]
        return drawn.view(-1, count)

    def pairs(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Pairs that are not linked: any head, and a tail as above.

        Args:
            count: How many, drawn with replacement.
            generator: Of the draw. (default: torch's own)

        Returns:
            ``[2, count]``.
        """
        heads = self._draw(count, generator)
        return torch.stack([heads, self.tails(heads, 1, generator).squeeze(1)])

    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        return torch.randint(self.num_nodes, (count,), generator=generator)

    def _linked(self, heads: Tensor, tails: Tensor) -> Tensor:
        keys = heads * self.num_nodes + tails
        place = torch.searchsorted(self._known, keys)
        place = place.clamp(max=self._known.numel() - 1)
        return self._known[place] == keys
