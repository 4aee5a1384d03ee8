"""How well true links are told from pairs that are not linked."""

import torch
from torch import Tensor

HITS = 50
"""Of Hits@50."""


def hits_at(positives: Tensor, negatives: Tensor, k: int = HITS) -> float:
    """Share of the links whose score is above that of the k-th best negative.

    With fewer than k negatives, all links count, as OGB's evaluator has it.

    Args:
        positives: Scores of links ``[P]``.
        negatives: Scores of pairs that are not linked ``[M]``.
        k: How many negatives may be above. (default: ``50``)

    Example:
        >>> hits_at(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.5]), k=1)
        0.5
    """
    if negatives.numel() < k:
        return 1.0
    bound = negatives.topk(k).values[-1]
    return float((positives > bound).double().mean())


def reciprocal_rank(positives: Tensor, corrupted: Tensor) -> float:
    """Mean of one by the rank of a link among its corruptions.

    Equal scores share their ranks: half of them count as better.

    Args:
        positives: Scores of links ``[M]``.
        corrupted: Scores with other tails ``[M, n]``.

    Example:
        >>> reciprocal_rank(torch.tensor([2.0]), torch.tensor([[3.0, 1.0, 0.0]]))
        0.5
    """
    better = (corrupted > positives.unsqueeze(1)).sum(dim=1)
    equal = (corrupted == positives.unsqueeze(1)).sum(dim=1)
    return float((1.0 / (1.0 + better.double() + 0.5 * equal.double())).mean())


def dots(z: Tensor, heads: Tensor, tails: Tensor) -> Tensor:
    """Dot products of the vectors of heads and tails.

    Args:
        z: ``[N, C]``.
        heads: ``[M]``.
        tails: ``[M]``, or ``[M, n]`` for n tails of each head.
    """
    if tails.dim() == 1:
        return (z[heads] * z[tails]).sum(dim=1)
    # Tail by tail, so that [M, n, C] never exists.
    columns = [(z[heads] * z[column]).sum(dim=1) for column in tails.unbind(dim=1)]
    return torch.stack(columns, dim=1)
