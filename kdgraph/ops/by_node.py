"""Gradients of a batch, added up by node."""

import torch
from torch import Tensor


def sum_by_node(n_id: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Add up the gradients of a node that occurs more than once in a batch.

    It waits for the device once, to learn how many nodes there are.

    Args:
        n_id: Ids ``[B]``.
        gradient: ``[B, C]``.

    Returns:
        The distinct nodes and their sums; the arguments where all are distinct.

    Example:
        >>> sum_by_node(torch.tensor([7, 2, 7]), torch.tensor([[1.0], [5.0], [2.0]]))
        (tensor([2, 7]), tensor([[5.],
                [3.]]))
    """
    nodes, which = torch.unique(n_id, return_inverse=True)
    if nodes.numel() == n_id.numel():
        return n_id, gradient
    total = gradient.new_zeros(nodes.numel(), gradient.size(1))
    return nodes, total.index_add_(0, which, gradient)
