"""Scores of classes, and the choice of their alpha."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kdgraph.baselines import LabelPropagation
from kdgraph.baselines.spreading import Spreading
from kdgraph.data import Graph
from kdgraph.training.class_scores import (
    diffused_scores,
    propagated_scores,
)
from kdgraph.training.metrics import accuracy

MakeGraph = Callable[..., Graph]


def random_labels(draw: int, *shape: int) -> torch.Tensor:
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(draw))


def test_propagated_is_label_propagation_at_its_best(make_graph: MakeGraph) -> None:
    alphas, chosen = (0.1, 0.5, 0.99), set()
    for draw in range(8):
        graph = make_graph(y=random_labels(draw, 40))
        tried = [
            LabelPropagation(alpha)(graph.adj, graph.y, graph.train_idx, 2)
            for alpha in alphas
        ]
        rows = graph.valid_idx
        valid = [accuracy(scores[rows], graph.y[rows]) for scores in tried]
        found = propagated_scores(graph, alphas)
        best = valid.index(max(valid))  # the first of equals
        assert found.valid_scores == tuple(valid)
        assert found.alpha == alphas[best]
        assert torch.equal(found.scores, tried[best])
        chosen.add(best)
    assert len(chosen) > 1


def test_diffused_is_clamped_and_spread(graph: Graph) -> None:
    probabilities = torch.rand(40, 2).softmax(dim=1)
    given = probabilities.clone()
    found = diffused_scores(graph, probabilities, (0.7,), num_steps=3)
    seeds = probabilities.clone()
    for node in graph.train_idx.tolist():
        seeds[node] = torch.eye(2)[graph.y[node]]
    assert torch.equal(probabilities, given)
    assert torch.equal(found.scores, Spreading(graph.adj)(seeds, 0.7, 3))
    rows = graph.valid_idx
    assert found.valid_scores == (accuracy(found.scores[rows], graph.y[rows]),)


def test_test_labels_do_not_matter(graph: Graph, make_graph: MakeGraph) -> None:
    probabilities = torch.rand(40, 2).softmax(dim=1)
    y = graph.y.clone()
    y[graph.test_idx] = 1 - y[graph.test_idx]
    other = make_graph(y=y)
    for first, second in (
        (propagated_scores(graph), propagated_scores(other)),
        (
            diffused_scores(graph, probabilities),
            diffused_scores(other, probabilities),
        ),
    ):
        assert torch.equal(first.scores, second.scores)
        assert (first.alpha, first.valid_scores) == (second.alpha, second.valid_scores)


def test_many_labels_are_cut_where_validation_says(make_graph: MakeGraph) -> None:
    y = random_labels(0, 40, 3).float()
    graph = make_graph(y=y, num_classes=3)
    found = diffused_scores(graph, y, (0.0, 0.5))  # a model that knows them all
    assert found.valid_scores[0] == 1.0
    assert found.alpha == 0.0
    assert propagated_scores(graph).scores.shape == (40, 3)


def test_refused(graph: Graph) -> None:
    with pytest.raises(ValueError, match="at least one to choose from, got none"):
        propagated_scores(graph, ())
    with pytest.raises(
        ValueError, match=r"probabilities of shape \[40, 2\], got \[40, 3\]"
    ):
        diffused_scores(graph, torch.zeros(40, 3))
