"""The loss and the scores of node classification, as functions of arrays."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional

_Floats = NDArray[np.float64]


def classification_loss(
    logits: Tensor, y: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy for classes ``[n]``, binary cross-entropy for labels ``[n, T]``.

    The mean over rows; 0 where there are none.

    Args:
        logits: ``[n, T]``.
        y: Classes, or zeros and ones.
        weight: Of the positives of each label, ``[T]``. (default: all ``1``)
    """
    if y.size(0) == 0:
        return logits.sum() * 0.0
    if y.dim() == 1:
        return functional.cross_entropy(logits, y)
    return functional.binary_cross_entropy_with_logits(logits, y, pos_weight=weight)


def positive_weights(y: Tensor, power: float) -> Tensor:
    r"""Weights of the positives of labels, :math:`(m / n)^p` of m negatives and n.

    A label without positives, or without negatives, has weight 1.

    Args:
        y: Zeros and ones of training nodes, ``[n, T]``.
        power: p; 0 weighs all alike, 1 balances each label.

    Example:
        >>> import torch
        >>> positive_weights(torch.tensor([[1.0, 0], [0, 0], [0, 0]]), 1.0)
        tensor([2., 1.])
    """
    positives = (y > 0.5).sum(dim=0).double()
    negatives = y.size(0) - positives
    ratio = torch.where((positives > 0) & (negatives > 0), negatives / positives, 1.0)
    return (ratio**power).float()


def accuracy(scores: Tensor, y: Tensor) -> float:
    """Share of rows whose largest score is their class.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        0.5
    """
    return float((scores.argmax(dim=-1) == y).double().mean())


def micro_f1(predicted: Tensor, y: Tensor) -> float:
    r"""F1 over all pairs of node and label, :math:`2 TP / (2 TP + FP + FN)`.

    Where nothing is predicted and nothing is true, the score is 0.

    Args:
        predicted: Booleans ``[n, T]``.
        y: Zeros and ones ``[n, T]``.

    Example:
        >>> import torch
        >>> micro_f1(torch.tensor([[True, True]]), torch.tensor([[1.0, 0.0]]))
        0.6666666666666666
    """
    true = y > 0.5
    hits = int((predicted & true).sum())
    total = int(predicted.sum()) + int(true.sum())
    return 2 * hits / total if total else 0.0


def macro_f1(predicted: Tensor, y: Tensor) -> float:
    """The mean over labels of their F1, 0 for one that is never predicted nor true.

    Args:
        predicted: Booleans ``[n, T]``.
        y: Zeros and ones ``[n, T]``.

    Example:
        >>> import torch
        >>> macro_f1(torch.tensor([[True, True]]), torch.tensor([[1.0, 0.0]]))
        0.5
    """
    true = y > 0.5
    hits = (predicted & true).sum(dim=0).double()
    total = (predicted.sum(dim=0) + true.sum(dim=0)).double()
    return float((2 * hits / total.clamp_min(1.0)).mean())


def top_k_labels(scores: Tensor, y: Tensor) -> Tensor:
    """Predict as many labels for a node as it has: those of the largest scores.

    The protocol of DeepWalk (Perozzi et al., KDD 2014). Of equal scores the first label
    is taken.

    Args:
        scores: ``[n, T]``.
        y: Zeros and ones ``[n, T]``, of which only the number in each row is read.

    Returns:
        Booleans ``[n, T]``.

    Example:
        >>> import torch
        >>> top_k_labels(torch.tensor([[0.1, 0.3, 0.2]]), torch.tensor([[1.0, 0, 1]]))
        tensor([[False,  True,  True]])
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    count = (y > 0.5).sum(dim=1, keepdim=True)
    first = torch.arange(scores.size(1), device=scores.device) < count
    return torch.zeros_like(first).scatter_(1, order, first)


def micro_f1_top_k(scores: Tensor, y: Tensor) -> float:
    """:func:`micro_f1` of :func:`top_k_labels`."""
    return micro_f1(top_k_labels(scores, y), y)


def macro_f1_top_k(scores: Tensor, y: Tensor) -> float:
    """:func:`macro_f1` of :func:`top_k_labels`."""
    return macro_f1(top_k_labels(scores, y), y)


def roc_auc(scores: Tensor, y: Tensor) -> float:
    r"""Area under the ROC curve, the mean over labels, as OGB scores ogbn-proteins.

    For one label it is the share of pairs of a positive and a negative node in which
    the positive has the larger score, equal scores counting one half. Labels without a
    positive or without a negative node have none and are left out.

    Args:
        scores: ``[n, T]``.
        y: Zeros and ones ``[n, T]``.

    Raises:
        ValueError: All labels lack positives or negatives.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.1], [0.4], [0.3]])
        >>> roc_auc(scores, torch.tensor([[0.0], [1.0], [1.0]]))
        1.0
    """
    return _mean_over_labels("roc-auc", _one_roc_auc, scores, y)


def average_precision(scores: Tensor, y: Tensor) -> float:
    r"""Average precision, the mean over labels, as OGB scores its tasks of many labels.

    For one label :math:`\sum_n (R_n - R_{n-1}) P_n` over distinct scores from the
    largest on, P being precision and R recall of predicting all from there up. Labels
    without a positive or without a negative node are left out.

    Args:
        scores: ``[n, T]``.
        y: Zeros and ones ``[n, T]``.

    Raises:
        ValueError: All labels lack positives or negatives.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.3], [0.2], [0.1]])
        >>> y = torch.tensor([[1.0], [0.0], [1.0]])
        >>> round(average_precision(scores, y), 4)
        0.8333
    """
    return _mean_over_labels("ap", _one_average_precision, scores, y)


def best_threshold(scores: Tensor, y: Tensor) -> float:
    """The threshold above which predicting labels gives the largest micro-F1.

    It lies halfway between the smallest score that is predicted and the largest that is
    not, so that rounding moves no node across. Of equally good ones it is the largest;
    0 is the least where scores are positive.

    Args:
        scores: ``[n, T]``, float32.
        y: Zeros and ones ``[n, T]``.

    Returns:
        A number that float32 holds: ``scores > threshold`` is what is predicted.

    Example:
        >>> import torch
        >>> best_threshold(torch.tensor([[0.75, 0.25]]), torch.tensor([[1.0, 0.0]]))
        0.5
    """
    flat = scores.detach().cpu().float().flatten().numpy()
    true = (y.cpu() > 0.5).flatten().numpy()
    order = np.argsort(-flat, kind="stable")
    flat, hits = flat[order], np.cumsum(true[order])
    # A cut after each group of equal scores, and one before all.
    cuts = np.flatnonzero(np.append(flat[1:] != flat[:-1], [True] * (flat.size > 0)))
    f1 = 2 * hits[cuts] / (cuts + 1 + true.sum())
    if f1.size == 0 or f1.max() == 0.0:
        return float(flat[0]) if flat.size else 0.0
    cut = int(cuts[f1.argmax()])
    lowest = flat[cut]
    if cut + 1 == flat.size:
        # All are predicted; probabilities are positive, but for those that round to 0.
        return 0.0 if lowest > 0 else float(lowest) - 1.0
    below = flat[cut + 1]
    middle = np.float32(below + (lowest - below) / 2)
    return float(middle if middle < lowest else below)


def _mean_over_labels(
    name: str,
    one: Callable[[_Floats, NDArray[np.bool_]], float],
    scores: Tensor,
    y: Tensor,
) -> float:
    values, true = scores.detach().cpu().double().numpy(), (y.cpu() > 0.5).numpy()
    scored = scored_labels(y)
    if not scored.any():
        raise ValueError(
            f"{name} expects a label with both positive and negative nodes, got none "
            f"among {true.shape[0]} nodes; choose another metric or another split"
        )
    found = [one(values[:, label], true[:, label]) for label in np.flatnonzero(scored)]
    return float(np.mean(found))


def scored_labels(y: Tensor) -> NDArray[np.bool_]:
    """Which labels have both positive and negative nodes, booleans ``[T]``."""
    true = (y.cpu() > 0.5).numpy()
    found = true.any(axis=0) & ~true.all(axis=0)
    return np.asarray(found)


def _one_roc_auc(scores: _Floats, true: NDArray[np.bool_]) -> float:
    """Mann and Whitney's statistic: ranks of the positives, less what they need."""
    positives, negatives = int(true.sum()), int((~true).sum())
    ranks = stats.rankdata(scores)  # equal scores share the mean of their ranks
    above = float(ranks[true].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def _one_average_precision(scores: _Floats, true: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(true[order])
    cuts = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    precision = hits[cuts] / (cuts + 1)
    recalled = np.diff(hits[cuts], prepend=0)
    return float((recalled * precision).sum() / true.sum())
