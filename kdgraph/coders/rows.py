"""Rows: a table of parameters whose gradients may be sparse."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


class Rows(nn.Embedding):
    """A table of parameters: some rows by id, or all of them.

    With ``sparse`` its gradient is sparse whichever are read, so that
    :class:`torch.optim.SparseAdam` takes all parameters of a coder. It is a
    :class:`torch.nn.Embedding` because
    :class:`torch.nn.parallel.DistributedDataParallel` expects sparse gradients of such
    modules alone.

    Args:
        shape: Of the table, ``[N, C]`` or ``[N]``; whoever owns it draws the values.
        sparse: Whether gradients are sparse. (default: ``False``)

    Example:
        >>> rows = Rows(3, 2, sparse=True)
        >>> rows().sum().backward()
        >>> rows.weight.grad.is_sparse
        True
    """

    def __init__(self, *shape: int, sparse: bool = False) -> None:
        super().__init__(shape[0], 1, sparse=sparse)
        self.weight = nn.Parameter(torch.empty(shape))

    def reset_parameters(self) -> None:
        """Leave the values to the owner."""

    @override
    def forward(self, n_id: Tensor | None = None) -> Tensor:
        """Rows ``[B, C]`` of ids ``[B]``, or all of them."""
        if n_id is not None:
            return functional.embedding(n_id, self.weight, sparse=self.sparse)
        if not self.sparse:
            return self.weight
        if torch.compiler.is_compiling() and self.weight.dim() == 2:
            # A graph has no way to make a sparse tensor, but for this one.
            every = torch.arange(self.weight.size(0), device=self.weight.device)
            return functional.embedding(every, self.weight, sparse=True)
        rows: Tensor = _SparseGradient.apply(self.weight)  # type: ignore[no-untyped-call]
        return rows

    def extra_repr(self) -> str:
        """Its shape, and whether gradients are sparse."""
        return f"{list(self.weight.shape)}, sparse={self.sparse}"


def rename(state_dict: dict[str, Any], prefix: str, names: Mapping[str, str]) -> None:
    """Give the entries of a state that was saved under earlier names their own.

    Args:
        state_dict: Changed in place.
        prefix: Of the module in it.
        names: From earlier names to those of now.
    """
    for old, new in names.items():
        if prefix + old in state_dict:
            state_dict[prefix + new] = state_dict.pop(prefix + old)


class _SparseGradient(torch.autograd.Function):
    """All rows, with a gradient that lists them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(table: Tensor) -> Tensor:
        return table.view_as(table)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        (grad,) = grads
        index = torch.arange(grad.size(0), device=grad.device).unsqueeze(0)
        return torch.sparse_coo_tensor(
            index, grad, grad.shape, is_coalesced=True, check_invariants=False
        )
