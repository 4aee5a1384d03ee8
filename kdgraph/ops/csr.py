"""Csr: a sparse matrix with targets in rows, which sums rows of a float table."""

import torch
from torch import Tensor

from kdgraph.ops.neighbor_sum import neighbor_sum
from kdgraph.ops.pattern import Pattern


class Csr:
    r"""A pattern and its weights.

    Args:
        pattern: Who sends to whom.
        weight: Of each edge in the pattern's order, ``[E]``; ``None`` for ones.
            (default: ``None``)

    Example:
        >>> pattern = Pattern(torch.tensor([0, 2, 2]), torch.tensor([0, 1]), 2)
        >>> csr = Csr(pattern, torch.tensor([0.5, 1.0]))
        >>> csr.sum(torch.tensor([[2.0], [3.0]])).tolist()
        [[4.0], [0.0]]
        >>> csr.row_sum(torch.float32).tolist()
        [1.5, 0.0]
    """

    def __init__(self, pattern: Pattern, weight: Tensor | None = None) -> None:
        self.pattern = pattern
        self.weight = weight
        self._transposed_weight: Tensor | None = None

    @property
    def num_targets(self) -> int:
        """Number of targets M."""
        return self.pattern.num_targets

    @property
    def num_edges(self) -> int:
        """Number of edges E."""
        return self.pattern.num_edges

    def transposed(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Row pointers, columns and weights with sources in rows, without gradient."""
        rowptr, col, order = self.pattern.transposed
        if self.weight is None:
            return rowptr, col, None
        if self._transposed_weight is None:
            own = self.weight.detach()
            weight = own[order]
            compiling = torch.compiler.is_compiling()
            if not compiling and col is self.pattern.col and torch.equal(weight, own):
                weight = own
            self._transposed_weight = weight
        return rowptr, col, self._transposed_weight

    def row_sum(self, dtype: torch.dtype) -> Tensor:
        """Sum of the weights of each target, ``[M]``, differentiable by them."""
        pattern, weight = self.pattern, self.weight
        if weight is None:
            return pattern.degree.to(dtype)
        zeros = weight.new_zeros(pattern.num_targets, dtype=dtype)
        return zeros.index_add(0, pattern.target, weight.to(dtype))

    def sum(self, x: Tensor) -> Tensor:
        """Weighted sums ``[M, C]`` of rows of ``x``, differentiable by both.

        Where weights want a gradient, the messages ``[E, C]`` are formed.
        """
        pattern, weight = self.pattern, self.weight
        learned = torch.is_grad_enabled()
        if learned and weight is not None and weight.requires_grad:
            messages = x[pattern.col] * weight.unsqueeze(1).to(x.dtype)
            return messages.new_zeros(pattern.num_targets, x.size(1)).index_add(
                0, pattern.target, messages
            )
        back = self.transposed() if learned and x.requires_grad else None
        return neighbor_sum(pattern.rowptr, pattern.col, weight, x, transposed=back)

    def mean_of(self, sums: Tensor) -> Tensor:
        """Sums ``[M, C]`` over the number of edges of each target."""
        degree = self.pattern.degree.clamp(min=1).to(sums.dtype)
        return sums / degree.unsqueeze(1)
