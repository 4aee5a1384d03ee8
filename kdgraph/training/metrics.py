"""Losses and scores of node classification."""

from torch import Tensor
from torch.nn import functional


def classification_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy for classes ``[n]``, binary cross-entropy for labels ``[n, T]``.

    The mean over rows; 0 where there are none.
    """
    if y.size(0) == 0:
        return logits.sum() * 0.0
    if y.dim() == 1:
        return functional.cross_entropy(logits, y)
    return functional.binary_cross_entropy_with_logits(logits, y)


def accuracy(logits: Tensor, y: Tensor) -> float:
    """Share of rows whose largest score is their class.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        0.5
    """
    return float((logits.argmax(dim=-1) == y).double().mean())


def micro_f1(logits: Tensor, y: Tensor) -> float:
    r"""F1 over all pairs of node and label, :math:`2 TP / (2 TP + FP + FN)`.

    A label is predicted where its probability exceeds 0.5, which is where its logit
    exceeds 0. Where nothing is predicted and nothing is true, the score is 0.

    Example:
        >>> import torch
        >>> micro_f1(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
        0.6666666666666666
    """
    predicted, true = logits > 0, y > 0.5
    hits = int((predicted & true).sum())
    total = int(predicted.sum()) + int(true.sum())
    return 2 * hits / total if total else 0.0


def score(logits: Tensor, y: Tensor) -> float:
    """Accuracy for classes, micro-F1 for labels."""
    return accuracy(logits, y) if y.dim() == 1 else micro_f1(logits, y)
