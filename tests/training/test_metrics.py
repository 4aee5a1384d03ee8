"""Losses and scores against sums by hand and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch

from kdgraph.training.metrics import accuracy, classification_loss, micro_f1, score


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert accuracy(logits, torch.tensor([1, 1, 2])) == 2 / 3


def test_micro_f1_by_hand() -> None:
    logits = torch.tensor([[1.0, -1.0, 2.0], [-1.0, 0.0, 3.0]])
    y = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # Found: (0,0) and (1,2). Predicted and wrong: (0,2). Missed: (0,1).
    assert micro_f1(logits, y) == 2 * 2 / (2 * 2 + 1 + 1)
    assert micro_f1(-torch.ones(2, 3), torch.zeros(2, 3)) == 0.0


def test_scores_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    logits, y = torch.randn(50, 6), torch.randint(6, (50,))
    expected = metrics.accuracy_score(y, logits.argmax(1))
    assert score(logits, y) == pytest.approx(expected, abs=1e-15)
    labels = (torch.rand(50, 6) < 0.3).float()
    predicted = (torch.sigmoid(logits) > 0.5).int()
    expected = metrics.f1_score(labels, predicted, average="micro")
    assert score(logits, labels) == pytest.approx(expected, abs=1e-15)


def test_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    loss = classification_loss(logits, torch.tensor([1]))
    assert float(loss) == pytest.approx(-math.log(0.75))
    loss = classification_loss(logits, torch.tensor([[1.0, 1.0]]))
    assert float(loss) == pytest.approx((-math.log(0.5) - math.log(0.75)) / 2)
