"""Partition: clusters of clusters, as an order of the nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kdgraph.codes.prefix import Kind, Prefix
from kdgraph.codes.table import CodeTable
from kdgraph.ops import MAX_CODEBOOK_SIZE, inverse_order


@dataclass(frozen=True, eq=False)
class Partition:
    """A hierarchy of clusters: an order of the nodes, and where each leaf begins.

    A leaf is numbered by its path, the child on the last level turning fastest. Stored
    in this order, nodes need no bits for their path: a row tells its leaf.

    Attributes:
        order: ``int64`` ``[N]``, the nodes sorted by leaf, within a leaf by id; row i
            of a graph in partition order is node ``order[i]``.
        boundaries: ``int64`` ``[L + 1]``: leaf i holds the rows from ``boundaries[i]``
            to ``boundaries[i + 1]``; ``L`` is the product of ``branching``.
        branching: Children per cluster on each level.

    Example:
        >>> halves = Partition(np.array([2, 0, 1]), np.array([0, 1, 3]), (2,))
        >>> halves.leaves().tolist(), halves.levels().codes().tolist()
        ([1, 1, 0], [[1], [1], [0]])
    """

    order: NDArray[np.int64]
    boundaries: NDArray[np.int64]
    branching: tuple[int, ...]

    def leaves(self) -> NDArray[np.int64]:
        """Leaf of each node, ``int64`` ``[N]``."""
        leaves = np.empty(self.order.size, dtype=np.int64)
        sizes = np.diff(self.boundaries)
        leaves[self.order] = np.repeat(np.arange(sizes.size), sizes)
        return leaves

    def prefix(self, kind: Kind = "levels") -> Prefix:
        """What the rows of a table tell that is stored in this order."""
        return Prefix(self.boundaries, self.branching, kind)

    def levels(self) -> CodeTable:
        r"""Codes of the nodes, by id, that name the cluster on each level.

        Position l is the path down to level l, :math:`\lfloor leaf / \prod_{m>l} b_m
        \rfloor`, out of :math:`b_1 \cdots b_l` clusters.

        Raises:
            ValueError: More clusters on the last level than a codebook may have.
        """
        check_levels(self.branching)
        return self._explicit("levels")

    def digits(self) -> CodeTable:
        """Codes of the nodes, by id, that name the child, one alphabet for all parents.

        Position l is position l of the levels modulo :math:`b_l`.
        """
        return self._explicit("digits")

    def _explicit(self, kind: Kind) -> CodeTable:
        rows = inverse_order(torch.from_numpy(self.order))
        return CodeTable.from_prefix(self.prefix(kind)).explicit().reordered(rows)


def check_levels(branching: Sequence[int]) -> None:
    """Check that each cluster of a hierarchy can have a codeword.

    Raises:
        ValueError: More clusters on the last level than a codebook may have.
    """
    clusters = math.prod(branching)
    if clusters > MAX_CODEBOOK_SIZE:
        raise ValueError(
            f"levels need a codeword per cluster, at most {MAX_CODEBOOK_SIZE}, got "
            f"{clusters} clusters; use kind='digits' or a smaller branching"
        )
