"""Metric: which labels it scores, and what it says of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kdgraph.data import Graph
from kdgraph.training import TrainConfig, resolve_config
from kdgraph.training.metric import METRICS, Metric
from kdgraph.training.metrics import micro_f1
from kdgraph.training.propagation import propagate_labels

MakeGraph = Callable[..., Graph]


def two_labels(make_graph: MakeGraph) -> Graph:
    """Every node has the label of its ring, and some the other as well."""
    truth = make_graph().y
    y = torch.stack([truth, 1 - truth], dim=1).float()
    y[::5] = 1.0
    return make_graph(y=y)


def test_names_are_checked() -> None:
    with pytest.raises(
        ValueError, match="unknown metric 'f1': expected one of accuracy"
    ):
        Metric("f1")
    with pytest.raises(
        ValueError, match="unknown metric 'f1': expected one of accuracy"
    ):
        TrainConfig(metric="f1")
    with pytest.raises(ValueError, match="eval_every is at least 1, got 0"):
        TrainConfig(eval_every=0)
    with pytest.raises(ValueError, match="needs a threshold; call 'fitted'"):
        Metric("micro-f1")(torch.zeros(1, 1), torch.ones(1, 1))


def test_labels_of_the_other_kind(make_graph: MakeGraph) -> None:
    many, one = two_labels(make_graph), make_graph()
    assert resolve_config(TrainConfig(), many).metric == "micro-f1"
    for name in METRICS[1:]:
        Metric(name).check(many)
        with pytest.raises(
            ValueError, match=f"{name}.*one class per node; use accuracy"
        ):
            resolve_config(TrainConfig(metric=name), one)
    with pytest.raises(
        ValueError, match="several labels per node; use micro-f1, micro"
    ):
        resolve_config(TrainConfig(metric="accuracy"), many)
    with pytest.raises(ValueError, match="pos_weight is for several labels per node"):
        resolve_config(TrainConfig(pos_weight=0.5), one)


@pytest.mark.parametrize("name", ["roc-auc", "ap"])
def test_a_split_that_cannot_be_scored(make_graph: MakeGraph, name: str) -> None:
    graph = two_labels(make_graph)
    graph.y[graph.test_idx] = 1.0
    with pytest.raises(ValueError, match="positive and negative nodes in test_idx"):
        Metric(name).check(graph)


def test_networks_follow_the_labels(make_graph: MakeGraph) -> None:
    many = resolve_config(TrainConfig(), two_labels(make_graph))
    assert (many.model, many.root_weight, many.jk) == ("sage", False, "cat")
    one = resolve_config(TrainConfig(), make_graph())
    assert (one.model, one.root_weight, one.jk) == ("gcn", None, None)
    asked = TrainConfig(model="gin", jk="none", root_weight=True)
    kept = resolve_config(asked, two_labels(make_graph))
    assert (kept.model, kept.root_weight, kept.jk) == ("gin", True, "none")


def test_a_threshold_beats_one_half(make_graph: MakeGraph) -> None:
    y = two_labels(make_graph).y
    logits = 4.0 * y - 6.0  # all of them below one half
    metric = Metric("micro-f1")
    shown = metric.scores(logits)
    assert micro_f1(shown > 0.5, y) == 0.0
    assert metric.fitted(shown, y)(shown, y) == 1.0


@pytest.mark.parametrize("name", METRICS[1:])
def test_labels_propagate_by_every_metric(make_graph: MakeGraph, name: str) -> None:
    graph = two_labels(make_graph)
    found = propagate_labels(graph, Metric(name))
    assert found.valid_score > 0.6
    assert (found.threshold is None) == (name != "micro-f1")
