"""Ancestors: codewords of the clusters above the leaves of a hierarchy."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdgraph.compat import apply

Trees = Sequence[Sequence[int] | None]
"""For each position the branching of its hierarchy, or ``None`` where it has none."""

Branchings = tuple[tuple[int, ...] | None, ...]


class Ancestors(nn.Module):
    r"""What leaves of a hierarchy have in common while their codewords are trained.

    A position whose choices are the :math:`K = b_1 \cdots b_L` leaves of a hierarchy
    gets, beside a row :math:`W[i]` per leaf, one for each cluster of the levels above.
    The codeword of leaf i is the sum on the way down,

    .. math:: \sum_{l<L} A_l[\lfloor i / {\textstyle\prod_{m>l} b_m} \rfloor] + W[i]

    So a leaf learns from all nodes below its ancestors, as with a codebook per level
    (the level tables of a hierarchical partition), but a node stores one code, and a
    file the K sums. All rows are drawn from ``N(0, 0.1^2)``, as those of codebooks per
    level are; hence a sum starts with L times the variance of an ordinary codeword.

    Summing takes :math:`O(\sum_j K_j d)` time and memory, without an index.

    Args:
        trees: The branching of each position, ``None`` for one that has none.
        codebook_sizes: The alphabet of each position, ``D`` of them.
        width: Width of a codeword d.
        owner: Who asks, for the message.

    Shapes:
        - **input:** one row per choice, ``[sum(K_j), d]``
        - **output:** codewords ``[sum(K_j), d]``

    Raises:
        ValueError: Not D trees, or one whose leaves are not :math:`K_j`.

    Example:
        >>> ancestors = Ancestors(((2, 2), None), (4, 3), 1, "SumComposer")
        >>> with torch.no_grad():
        ...     _ = ancestors.weight.copy_(torch.tensor([[10.0], [20.0]]))
        >>> leaves = torch.tensor([[0.0], [1.0], [2.0], [3.0], [7.0], [8.0], [9.0]])
        >>> ancestors(leaves).flatten().tolist()
        [10.0, 11.0, 22.0, 23.0, 7.0, 8.0, 9.0]
    """

    def __init__(
        self,
        trees: Branchings,
        codebook_sizes: tuple[int, ...],
        width: int,
        owner: str,
    ) -> None:
        super().__init__()
        _check_leaves(trees, codebook_sizes, owner)
        self.codebook_sizes = codebook_sizes
        self.clusters = [
            list(itertools.accumulate((tree or ())[:-1], operator.mul))
            for tree in trees
        ]
        rows = sum(itertools.chain.from_iterable(self.clusters))
        self.weight = nn.Parameter(torch.empty(rows, width))

    def reset_parameters(self) -> None:
        """Draw all rows anew."""
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, leaves: Tensor) -> Tensor:
        """Add to each row what its ancestors say."""
        codewords: Tensor = apply(_SumDown, leaves, self.weight, self)
        return codewords

    def sum_down(self, leaves: Tensor, ancestors: Tensor) -> Tensor:
        """Codewords of rows of leaves, and of rows of the clusters above them."""
        levels = iter(torch.split(ancestors, [*itertools.chain(*self.clusters)]))
        positions = torch.split(leaves, list(self.codebook_sizes))
        codewords = []
        for rows, clusters in zip(positions, self.clusters, strict=True):
            above = itertools.islice(levels, len(clusters))
            codewords.append(_sum_down([*above, rows]))
        return torch.cat(codewords)

    def sum_up(self, grad: Tensor) -> Tensor:
        """The gradient by the rows of the clusters, from that by codewords."""
        found = []
        positions = torch.split(grad, list(self.codebook_sizes))
        for rows, clusters in zip(positions, self.clusters, strict=True):
            below = [rows]
            for count in reversed(clusters):
                children = torch.unflatten(below[0], 0, (count, -1))
                below.insert(0, children.sum(dim=1))
            found += below[:-1]
        return torch.cat(found)


class _SumDown(torch.autograd.Function):
    """Sums on the way down, whose gradient is summed on the way up: one step each."""

    generate_vmap_rule = True

    @staticmethod
    def forward(leaves: Tensor, ancestors: Tensor, hierarchy: Ancestors) -> Tensor:
        return hierarchy.sum_down(leaves, ancestors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.hierarchy = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        return grads[0], ctx.hierarchy.sum_up(grads[0]), None


def check_trees(trees: Trees, owner: str) -> Branchings:
    """Check the branching of each position that has one.

    Raises:
        TypeError: Not integers, position by position.
        ValueError: Fewer than two children.
    """
    if not _is_list(trees) or not all(tree is None or _is_list(tree) for tree in trees):
        raise TypeError(
            f"{owner} expects trees as one branching such as (16, 16), or None, per "
            f"position, got {trees!r}"
        )
    for tree in trees:
        for children in tree or ():
            if isinstance(children, bool) or not hasattr(children, "__index__"):
                raise TypeError(f"{owner} expects trees of integers, got {tree!r}")
            if children < 2:
                raise ValueError(
                    f"{owner} expects trees with 2 children or more per cluster, got "
                    f"{tree!r}"
                )
    return tuple(None if tree is None else tuple(map(int, tree)) for tree in trees)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _check_leaves(
    trees: Branchings, codebook_sizes: tuple[int, ...], owner: str
) -> None:
    if len(trees) != len(codebook_sizes):
        raise ValueError(
            f"{owner} got {len(trees)} trees for {len(codebook_sizes)} positions; give "
            "one entry per position, None where there is no hierarchy"
        )
    for position, (tree, size) in enumerate(zip(trees, codebook_sizes, strict=True)):
        leaves = size if tree is None else math.prod(tree)
        if leaves != size:
            raise ValueError(
                f"{owner} got the tree {tree} with {leaves} leaves at position "
                f"{position}, expected as many leaves as choices, K = {size}"
            )


def _sum_down(levels: list[Tensor]) -> Tensor:
    """Each row of the last level plus its ancestors, coarsest first."""
    total, *finer = levels
    for level in finer:
        children = torch.unflatten(level, 0, (total.size(0), -1))
        total = (total.unsqueeze(1) + children).flatten(0, 1)
    return total
