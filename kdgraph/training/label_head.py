"""The label-spreading head: class scores that agree with their neighbours'."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdgraph.baselines.spreading import Spreading, clamp_labels
from kdgraph.data import Graph
from kdgraph.training.class_scores import check_shape
from kdgraph.training.metric import Metric

ALPHAS = (0.5, 0.8, 0.9, 0.95, 0.99)
MIXES = (0.5, 1.0)
NUM_STEPS = 20


@dataclass(frozen=True)
class HeadResult:
    """What the head gave, and how validation set it.

    Args:
        valid_score: With the head; never below the one without.
        test_score: With the head.
        alpha: How much came from neighbours, or ``None`` where the head is off.
        mix: Share of the spread scores in the result, 0 where the head is off.
        threshold: Above which labels are predicted, where the metric has one.
            (default: ``None``)
    """

    valid_score: float
    test_score: float
    alpha: float | None
    mix: float
    threshold: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


@torch.no_grad()
def spread_head(
    graph: Graph, logits: Tensor, metric: Metric | None = None
) -> HeadResult:
    r"""Spread the class scores of a trained model, as far as validation wants it.

    After "Combining Label Propagation and Simple Models out-performs Graph Neural
    Networks" (Huang et al., ICLR 2021), whose last step this is. With probabilities p
    of the logits and G the same, but with the labels of the training nodes in their
    rows, the scores become

    .. math:: (1 - m) \, p + m \, \frac{F_\alpha(G)}{F_\alpha(1)},

    F being 20 steps of :class:`Spreading <kdgraph.baselines.spreading.Spreading>`: a
    mean over the nodes around each, so that probabilities stay probabilities and a node
    without edges keeps its own. Validation chooses :math:`\alpha` from 0.5, 0.8, 0.9,
    0.95 and 0.99 and m from 0.5 and 1, or no head at all, which wins ties.

    It stores nothing, but reads the labels of the training nodes when it predicts, as
    label propagation does and a network alone does not. Labels of test nodes are read
    once, after the choice. It takes 100 products with the adjacency, and at most four
    arrays ``[N, T]`` beside the logits.

    Args:
        graph: The graph.
        logits: Of all nodes, ``[N, T]``, on any device.
        metric: By which validation chooses. (default: the graph's usual one)

    Raises:
        ValueError: Logits of another shape or not finite, or a metric for other labels.

    Example:
        >>> from kdgraph.data import sbm
        >>> graph = sbm(num_nodes=500, seed=0)
        >>> head = spread_head(graph, torch.zeros(500, 10))
        >>> head.valid_score > 0.5  # all of it from the labels around
        True
    """
    check_shape("spread_head", "logits", graph, logits)
    if not torch.isfinite(logits).all():
        raise ValueError(
            "spread_head expects finite logits, got NaN or infinity; train with a "
            "smaller lr"
        )
    metric = metric or Metric(graph.metric)
    metric.check(graph)
    y, valid_idx, test_idx = graph.y, graph.valid_idx, graph.test_idx
    own = _probabilities(logits, y)
    own_valid, own_test = _rows(own, valid_idx), _rows(own, test_idx)
    seeds = clamp_labels(own, y, graph.train_idx)
    ones = seeds.new_ones(graph.num_nodes, 1)
    spread = Spreading(graph.adj)
    # Logits, not probabilities: rounding makes some of those equal that differ.
    shown = metric.scores(_rows(logits, valid_idx))
    chosen = metric.fitted(shown, y[valid_idx])
    best_valid = chosen(shown, y[valid_idx])
    alpha, mix, best_test = None, 0.0, metric.scores(_rows(logits, test_idx))
    for tried in ALPHAS:
        around = spread(seeds, tried, NUM_STEPS).div_(spread(ones, tried, NUM_STEPS))
        for share in MIXES:
            mixed = torch.lerp(own_valid, _rows(around, valid_idx), share)
            fitted = metric.fitted(mixed, y[valid_idx])
            reached = fitted(mixed, y[valid_idx])
            if reached > best_valid:
                best_valid, alpha, mix, chosen = reached, tried, share, fitted
                best_test = torch.lerp(own_test, _rows(around, test_idx), share)
    test_score = chosen(best_test, y[test_idx])
    return HeadResult(best_valid, test_score, alpha, mix, chosen.threshold)


def _probabilities(logits: Tensor, y: Tensor) -> Tensor:
    return (logits.softmax(1) if y.dim() == 1 else logits.sigmoid()).float()


def _rows(values: Tensor, idx: Tensor) -> Tensor:
    """Rows of a tensor of any device, where labels are."""
    return values[idx.to(values.device)].cpu()
