"""The label-spreading head against dense algebra and graphs seen through at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from kdgraph.data import Graph, build_adjacency
from kdgraph.training.label_head import spread_head
from kdgraph.training.metrics import accuracy, micro_f1

MakeGraph = Callable[..., Graph]


def naive_head(
    graph: Graph, logits: torch.Tensor
) -> tuple[float, float, object, float]:
    """The definition, dense and in float64."""
    many = graph.multi_label
    p = (logits.double().sigmoid() if many else logits.double().softmax(1)).numpy()
    seeds = p.copy()
    for node in graph.train_idx.tolist():
        own = graph.y[node]
        seeds[node] = own.numpy() if many else np.eye(graph.num_classes)[int(own)]
    dense = graph.adj.toarray().astype(np.float64)
    degree = np.maximum(dense.sum(axis=1), 1e-300)
    norm = dense / np.sqrt(degree)[:, None] / np.sqrt(degree)[None, :]

    def scored(values: np.ndarray) -> tuple[float, float]:
        """On validation and on test, by the threshold that is best on validation."""
        shown = torch.from_numpy(values)
        valid, test = graph.valid_idx, graph.test_idx
        if not many:
            return accuracy(shown[valid], graph.y[valid]), accuracy(
                shown[test], graph.y[test]
            )
        levels = sorted({0.0, 1.0, *shown[valid].flatten().tolist()}, reverse=True)
        cuts = [(a + b) / 2 for a, b in pairwise(levels)]
        cut = max(cuts, key=lambda cut: micro_f1(shown[valid] > cut, graph.y[valid]))
        return micro_f1(shown[valid] > cut, graph.y[valid]), micro_f1(
            shown[test] > cut, graph.y[test]
        )

    best = (*scored(p), None, 0.0)
    for alpha in (0.5, 0.8, 0.9, 0.95, 0.99):
        walk = sum(alpha**t * np.linalg.matrix_power(norm, t) for t in range(20))
        walk = (1 - alpha) * walk + alpha**20 * np.linalg.matrix_power(norm, 20)
        means = (walk @ seeds) / walk.sum(axis=1, keepdims=True)
        for mix in (0.5, 1.0):
            mixed = mix * means + (1 - mix) * p
            reached = scored(mixed)
            if reached[0] > best[0]:
                best = (*reached, alpha, mix)
    return best


@pytest.mark.parametrize("many", [False, True], ids=["classes", "labels"])
def test_head_is_its_definition(make_graph: MakeGraph, many: bool) -> None:
    found = set()
    for draw in range(12):
        generator = torch.Generator().manual_seed(draw)
        truth = make_graph().y
        y = torch.stack([truth, 1 - truth], dim=1).float() if many else truth
        graph = make_graph(y=y)
        sign = torch.stack([truth, 1 - truth] if many else [1 - truth, truth], dim=1)
        noise = torch.randn(40, 2, generator=generator) * (1 + draw % 4)
        logits = 2.0 * sign - 1.0 + noise
        head = spread_head(graph, logits)
        if not many:
            plain = accuracy(logits[graph.valid_idx], graph.y[graph.valid_idx])
            assert head.valid_score >= plain
        assert (
            head.valid_score,
            head.test_score,
            head.alpha,
            head.mix,
        ) == naive_head(graph, logits)
        found.add((head.alpha, head.mix))
    assert len(found) > 2


def test_a_flipped_node_is_put_right() -> None:
    """Two cliques of six; one validation node and one test node are flipped."""
    cliques = [
        [(a, b) for a in c for b in c if a < b] for c in (range(6), range(6, 12))
    ]
    graph = Graph(
        name="cliques",
        adj=build_adjacency(np.array(cliques[0] + cliques[1]).T, 12),
        y=torch.tensor([0] * 6 + [1] * 6),
        train_idx=torch.tensor([0, 6]),
        valid_idx=torch.tensor([1, 2, 7, 8]),
        test_idx=torch.tensor([3, 4, 5, 9, 10, 11]),
        num_classes=2,
    )
    logits = torch.nn.functional.one_hot(graph.y, 2).float()
    logits[[2, 10]] = logits[[2, 10]].flip(1)
    head = spread_head(graph, logits)
    assert (head.valid_score, head.test_score) == (1.0, 1.0)
    assert head.alpha is not None
    assert accuracy(logits[graph.test_idx], graph.y[graph.test_idx]) == 5 / 6


def test_off_wins_ties(graph: Graph) -> None:
    """Where the logits are right already, no head can be better."""
    logits = 20.0 * torch.nn.functional.one_hot(graph.y, 2).float()
    head = spread_head(graph, logits)
    assert head.as_dict() == {
        "valid_score": 1.0,
        "test_score": 1.0,
        "alpha": None,
        "mix": 0.0,
        "threshold": None,
    }


@pytest.mark.parametrize("order", [torch.arange(39, -1, -1), torch.arange(40).roll(7)])
def test_order_of_nodes_does_not_matter(graph: Graph, order: torch.Tensor) -> None:
    logits = torch.randn(40, 2)
    moved = spread_head(graph.permuted(order), logits[order])
    assert moved == spread_head(graph, logits)


def test_test_labels_do_not_matter(make_graph: MakeGraph) -> None:
    graph, moved = make_graph(), set()
    for draw in range(5):
        logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(draw))
        first = spread_head(graph, logits)
        y = graph.y.clone()
        y[graph.test_idx] = y[graph.test_idx][torch.randperm(graph.test_idx.numel())]
        second = spread_head(make_graph(y=y), logits)
        chosen = (first.valid_score, first.alpha, first.mix)
        assert (second.valid_score, second.alpha, second.mix) == chosen
        moved.add(first.test_score != second.test_score)
    assert True in moved  # they are what is reported


def test_isolated_nodes_and_components_without_labels() -> None:
    """A clique without training nodes follows its own scores; a lone node keeps its."""
    clique = [(a, b) for a in range(2, 8) for b in range(a + 1, 8)]
    graph = Graph(
        name="parts",
        adj=build_adjacency(np.array([(0, 1), *clique]).T, 10),
        y=torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 1, 0]),
        train_idx=torch.tensor([0]),
        valid_idx=torch.tensor([1, 2, 8]),
        test_idx=torch.tensor([3, 4, 9]),
        num_classes=2,
    )
    logits = torch.tensor([[0.0, 1.0]]).repeat(10, 1)
    logits[9] = torch.tensor([1.0, 0.0])
    logits[3] = torch.tensor([0.5, 0.0])
    head = spread_head(graph, logits)
    # Node 1 is put right by the label of node 0, node 3 by its clique.
    assert (head.valid_score, head.test_score) == (1.0, 1.0)


def test_lone_nodes_keep_their_labels(make_graph: MakeGraph) -> None:
    """A share of one's own would sink below that of a node with neighbours."""
    pair = build_adjacency(np.array([(0, 1)]).T, 6)
    graph = make_graph(
        adj=pair,
        y=torch.tensor([[1.0, 0.0]]).repeat(6, 1),
        train_idx=torch.tensor([0]),
        valid_idx=torch.tensor([1, 2]),
        test_idx=torch.tensor([3, 4, 5]),
    )
    logits = torch.tensor([[1.0, -1.0]]).repeat(6, 1)
    logits[1, 0] = -1.2
    head = spread_head(graph, logits)
    assert (head.valid_score, head.test_score) == (1.0, 1.0)
    assert head.alpha is not None


def test_logits_are_not_changed(graph: Graph) -> None:
    logits = torch.randn(40, 2, requires_grad=True)
    given = logits.detach().clone()
    spread_head(graph, logits)
    assert torch.equal(logits.detach(), given)


@pytest.mark.parametrize("shape", [(40, 3), (39, 2), (40,)])
def test_refused_shapes(graph: Graph, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"spread_head expects logits of shape \[40, 2"
    ):
        spread_head(graph, torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refused_values(graph: Graph, value: float) -> None:
    logits = torch.zeros(40, 2)
    logits[3, 1] = value
    with pytest.raises(ValueError, match="expects finite logits, got NaN or infinity"):
        spread_head(graph, logits)
