"""Losses and scores against sums by hand, naive loops and scikit-learn."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from kdgraph.training.metrics import (
    accuracy,
    average_precision,
    best_threshold,
    classification_loss,
    macro_f1,
    macro_f1_top_k,
    micro_f1,
    micro_f1_top_k,
    positive_weights,
    roc_auc,
    top_k_labels,
)


def labels(seed: int, n: int = 40, t: int = 6) -> tuple[Tensor, Tensor]:
    """Scores with ties, and labels: one without positives, one without negatives."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 8, (n, t), generator=generator) / 8
    y = (torch.rand(n, t, generator=generator) < 0.3).float()
    y[:, 1], y[:, 2] = 0.0, 1.0
    return scores, y


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert accuracy(logits, torch.tensor([1, 1, 2])) == 2 / 3


def test_f1_by_hand() -> None:
    predicted = torch.tensor([[True, False, True], [False, False, True]])
    y = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # Found: (0,0) and (1,2). Predicted and wrong: (0,2). Missed: (0,1).
    assert micro_f1(predicted, y) == 2 * 2 / (2 * 2 + 1 + 1)
    assert macro_f1(predicted, y) == pytest.approx((1 + 0 + 2 / 3) / 3)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert micro_f1(nothing, torch.zeros(2, 3)) == 0.0
    assert macro_f1(nothing, torch.zeros(2, 3)) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_top_k_predicts_as_many_as_a_node_has(seed: int) -> None:
    scores, y = labels(seed)
    y[3, :] = 0.0
    found = top_k_labels(scores, y)
    for row, true, marked in zip(scores.tolist(), y, found, strict=True):
        count = int(true.sum())
        # Sorting is stable: of equal scores the first label comes first.
        first = sorted(range(len(row)), key=lambda label: -row[label])[:count]
        assert sorted(first) == marked.nonzero().flatten().tolist()
    assert not found[3].any()


@pytest.mark.parametrize("seed", range(3))
def test_scores_against_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    logits, classes = torch.randn(50, 6), torch.randint(6, (50,))
    expected = metrics.accuracy_score(classes, logits.argmax(1))
    assert accuracy(logits, classes) == pytest.approx(expected, abs=1e-15)
    scores, y = labels(seed)
    found = top_k_labels(scores, y)
    for average, own in (("micro", micro_f1_top_k), ("macro", macro_f1_top_k)):
        expected = metrics.f1_score(y, found, average=average, zero_division=0)
        assert own(scores, y) == pytest.approx(expected, abs=1e-12)
    both = [label for label in range(6) if 0 < y[:, label].sum() < len(y)]
    assert both == [0, 3, 4, 5]  # the others are left out, as OGB's evaluator does
    for own, name in (
        (roc_auc, metrics.roc_auc_score),
        (average_precision, metrics.average_precision_score),
    ):
        each = [name(y[:, label], scores[:, label]) for label in both]
        assert own(scores, y) == pytest.approx(np.mean(each), abs=1e-12)


def test_areas_by_hand() -> None:
    y = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    assert roc_auc(torch.zeros(4, 1), y) == 0.5
    assert average_precision(torch.zeros(4, 1), y) == 0.5
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.1]])
    assert roc_auc(scores, y) == 3 / 4
    assert average_precision(scores, y) == pytest.approx((1 + 2 / 3) / 2)
    # Logits that round to the same probability are still in order.
    far = torch.tensor([[40.0], [30.0], [35.0], [20.0]])
    assert roc_auc(far, y) == 1.0


@pytest.mark.parametrize("area", [roc_auc, average_precision])
def test_areas_need_both_kinds(area: object) -> None:
    with pytest.raises(ValueError, match="both positive and negative nodes, got none"):
        area(torch.rand(4, 2), torch.ones(4, 2))  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(4))
def test_threshold_is_the_best_there_is(seed: int) -> None:
    scores, y = labels(seed)
    threshold = best_threshold(scores, y)
    reached = micro_f1(scores > threshold, y)
    levels = sorted({-1.0, 2.0, *scores.flatten().tolist()})
    tried = [micro_f1(scores > (a + b) / 2, y) for a, b in pairwise(levels)]
    assert reached == max(tried)
    gap = min(abs(threshold - level) for level in scores.flatten().tolist())
    assert gap > 0.01  # no rounding moves a node across
    assert float(torch.tensor(threshold)) == threshold


def test_threshold_at_the_edges() -> None:
    scores = torch.tensor([[0.2, 0.4], [0.6, 0.8]])
    every = best_threshold(scores, torch.ones(2, 2))
    assert bool((scores > every).all())
    none = best_threshold(scores, torch.zeros(2, 2))
    assert not bool((scores > none).any())
    zeros = torch.zeros(2, 2)
    assert bool((zeros > best_threshold(zeros, torch.ones(2, 2))).all())
    # Neighbours among float32 numbers, between which there is none.
    one = torch.tensor(0.5)
    close = torch.stack([torch.nextafter(one, torch.tensor(1.0)), one]).view(1, 2)
    found = close > best_threshold(close, torch.tensor([[1.0, 0.0]]))
    assert found.tolist() == [[True, False]]


def test_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    loss = classification_loss(logits, torch.tensor([1]))
    assert float(loss) == pytest.approx(-math.log(0.75))
    y = torch.tensor([[1.0, 1.0]])
    loss = classification_loss(logits, y)
    assert float(loss) == pytest.approx((-math.log(0.5) - math.log(0.75)) / 2)
    weighted = classification_loss(logits, y, torch.tensor([3.0, 1.0]))
    expected = (-3 * math.log(0.5) - math.log(0.75)) / 2
    assert float(weighted) == pytest.approx(expected)


def test_rare_positives_weigh_more() -> None:
    y = torch.zeros(10, 4)
    y[:2, 0], y[:5, 1], y[:, 3] = 1.0, 1.0, 1.0
    assert positive_weights(y, 1.0).tolist() == [4.0, 1.0, 1.0, 1.0]
    assert positive_weights(y, 0.5).tolist() == [2.0, 1.0, 1.0, 1.0]
