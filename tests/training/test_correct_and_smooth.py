"""Correcting and smoothing against dense algebra, and graphs seen through at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from kdgraph.data import Graph, build_adjacency
from kdgraph.training.correct_and_smooth import correct_and_smooth
from kdgraph.training.metrics import accuracy

MakeGraph = Callable[..., Graph]


def spread(norm: np.ndarray, seeds: np.ndarray, alpha: float, low: float) -> np.ndarray:
    values = seeds
    for _ in range(50):
        values = np.clip(alpha * norm @ values + (1 - alpha) * seeds, low, 1.0)
    return values


def pinned(
    norm: np.ndarray, seeds: np.ndarray, alpha: float, rows: np.ndarray
) -> np.ndarray:
    values = seeds
    for _ in range(50):
        values = alpha * norm @ values + (1 - alpha) * seeds
        values[rows] = seeds[rows]
    return values


def naive(graph: Graph, logits: torch.Tensor) -> tuple[object, ...]:
    """Huang et al., dense and in float64."""
    p = logits.double().softmax(1).numpy()
    rows = graph.train_idx.numpy()
    truth = np.eye(graph.num_classes)[graph.y.numpy()]
    dense = graph.adj.toarray().astype(np.float64)
    degree = np.maximum(dense.sum(axis=1), 1e-300)
    norm = dense / np.sqrt(degree)[:, None] / np.sqrt(degree)[None, :]

    def scored(values: np.ndarray, idx: torch.Tensor) -> float:
        return accuracy(torch.from_numpy(values)[idx], graph.y[idx])

    best = (scored(p, graph.valid_idx), scored(p, graph.test_idx), None, None, None)
    error = np.zeros_like(p)
    error[rows] = truth[rows] - p[rows]
    for alpha in (0.5, 0.95):
        for autoscale in (True, False):
            if autoscale:
                spread_error = spread(norm, error, alpha, -1.0)
                sigma = np.abs(error[rows]).sum() / len(rows)
                mass = np.abs(spread_error).sum(axis=1, keepdims=True)
                scale = sigma / np.maximum(mass, 1e-300)
                scale[scale > 1000] = 1.0
                corrected = p + scale * spread_error
            else:
                corrected = p + pinned(norm, error, alpha, rows)
            seeds = corrected.copy()
            seeds[rows] = truth[rows]
            for smoothing in (0.5, 0.8, 0.95):
                values = spread(norm, seeds, smoothing, 0.0)
                valid = scored(values, graph.valid_idx)
                if valid > best[0]:
                    test = scored(values, graph.test_idx)
                    best = (valid, test, alpha, smoothing, autoscale)
    return best


def test_it_is_its_definition(make_graph: MakeGraph) -> None:
    graph, found = make_graph(), set()
    for draw in range(8):
        generator = torch.Generator().manual_seed(draw)
        sign = torch.stack([1 - graph.y, graph.y], dim=1)
        noise = torch.randn(40, 2, generator=generator) * (1 + draw % 4)
        logits = 2.0 * sign - 1.0 + noise
        result = correct_and_smooth(graph, logits)
        assert tuple(result.as_dict().values()) == naive(graph, logits)
        plain = accuracy(logits[graph.valid_idx], graph.y[graph.valid_idx])
        assert result.valid_score >= plain
        found.add((result.correction_alpha, result.smoothing_alpha))
    assert len(found) > 1


def test_scores_as_they_are_win_ties(graph: Graph) -> None:
    """Right already, and so sure that there is no error to spread."""
    logits = 200.0 * torch.nn.functional.one_hot(graph.y, 2).float()
    result = correct_and_smooth(graph, logits)
    assert tuple(result.as_dict().values()) == (1.0, 1.0, None, None, None)


def test_sure_scores_without_errors_may_still_be_smoothed() -> None:
    """Two cliques; the training nodes are right for certain, others are not."""
    cliques = [
        [(a, b) for a in c for b in c if a < b] for c in (range(6), range(6, 12))
    ]
    graph = Graph(
        name="cliques",
        adj=build_adjacency(np.array(cliques[0] + cliques[1]).T, 13),
        y=torch.tensor([0] * 6 + [1] * 7),
        train_idx=torch.tensor([0, 6]),
        valid_idx=torch.tensor([1, 2, 7, 8]),
        test_idx=torch.tensor([3, 4, 5, 9, 10, 11, 12]),
        num_classes=2,
    )
    logits = 200.0 * torch.nn.functional.one_hot(graph.y, 2).float()
    logits[[2, 10]] = 0.01 * logits[[2, 10]].flip(1)
    result = correct_and_smooth(graph, logits)
    # The lone node 12 keeps its own.
    assert (result.valid_score, result.test_score) == (1.0, 1.0)
    assert result.smoothing_alpha is not None


def test_labels_of_test_nodes_do_not_matter(make_graph: MakeGraph) -> None:
    graph = make_graph()
    logits = torch.randn(40, 2)
    first = correct_and_smooth(graph, logits).as_dict()
    y = graph.y.clone()
    y[graph.test_idx] = 1 - y[graph.test_idx]
    second = correct_and_smooth(make_graph(y=y), logits).as_dict()
    assert second.pop("test_score") == pytest.approx(1 - first.pop("test_score"))
    assert first == second


def test_logits_are_not_changed(graph: Graph) -> None:
    logits = torch.randn(40, 2, requires_grad=True)
    given = logits.detach().clone()
    correct_and_smooth(graph, logits)
    assert torch.equal(logits.detach(), given)


def test_refused(graph: Graph, make_graph: MakeGraph) -> None:
    with pytest.raises(ValueError, match=r"expects logits of shape \[40, 2"):
        correct_and_smooth(graph, torch.zeros(40, 3))
    with pytest.raises(ValueError, match="expects finite logits"):
        correct_and_smooth(graph, torch.full((40, 2), float("nan")))
    with pytest.raises(ValueError, match="one label a node"):
        correct_and_smooth(make_graph(y=torch.ones(40, 2)), torch.zeros(40, 2))
