"""Correct and smooth: a rival of the label-spreading head."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import CorrectAndSmooth

from kdgraph.data import Graph, to_torch_csr
from kdgraph.training.class_scores import check_shape
from kdgraph.training.metrics import accuracy as score

CORRECTION_ALPHAS = (0.5, 0.95)
SMOOTHING_ALPHAS = (0.5, 0.8, 0.95)
NUM_LAYERS = 50


@dataclass(frozen=True)
class SmoothedResult:
    """What correcting and smoothing gave, and how validation set it.

    Args:
        valid_score: Corrected and smoothed; never below the one without.
        test_score: Corrected and smoothed.
        correction_alpha: How much of the errors came from neighbours, or ``None`` where
            scores were left as they are.
        smoothing_alpha: How much of the scores came from neighbours, or ``None``.
        autoscale: Whether errors were scaled node by node, or ``None``.
    """

    valid_score: float
    test_score: float
    correction_alpha: float | None = None
    smoothing_alpha: float | None = None
    autoscale: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


@torch.no_grad()
def correct_and_smooth(graph: Graph, logits: Tensor) -> SmoothedResult:
    r"""Correct and smooth the class scores of a trained model.

    "Combining Label Propagation and Simple Models Out-performs Graph Neural Networks"
    (Huang et al., ICLR 2021), as :class:`torch_geometric.nn.CorrectAndSmooth` computes
    it: the errors of the training nodes are spread over the graph and added to all
    probabilities, then these, with the labels in the rows of training nodes, are spread
    themselves, 50 steps each.

    Validation chooses :math:`\alpha_1` of the errors from 0.5 and 0.95, their scale
    from the authors' automatic one and 1, and :math:`\alpha_2` of the scores from 0.5,
    0.8 and 0.95; or the scores as they are, which win ties. Nothing else is tuned.

    Like :func:`spread_head <kdgraph.training.label_head.spread_head>` it stores nothing
    and reads the labels of the training nodes; those of test nodes are read once, after
    the choice. It takes 800 products with the adjacency.

    Args:
        graph: The graph, of one label a node.
        logits: Of all nodes, ``[N, T]``, on any device.

    Raises:
        ValueError: Many labels a node, or logits of another shape or not finite.

    Example:
        >>> from kdgraph.data import sbm
        >>> graph = sbm(num_nodes=500, seed=0)
        >>> found = correct_and_smooth(graph, torch.zeros(500, 10))
        >>> found.valid_score > 0.5  # all of it from the labels around
        True
    """
    if graph.multi_label:
        raise ValueError(
            "correct_and_smooth expects one label a node, got a graph of "
            f"{graph.num_classes} labels; use spread_head"
        )
    check_shape("correct_and_smooth", "logits", graph, logits)
    if not torch.isfinite(logits).all():
        raise ValueError(
            "correct_and_smooth expects finite logits, got NaN or infinity; train with "
            "a smaller lr"
        )
    y, valid_idx, test_idx = graph.y, graph.valid_idx, graph.test_idx
    known = graph.train_idx[y[graph.train_idx] >= 0]
    train_idx, labels = known.to(logits.device), y[known].to(logits.device)
    adj = to_torch_csr(graph.adj).to(logits.device)
    own = logits.softmax(dim=1).float()
    best = SmoothedResult(score(_rows(logits, valid_idx), y[valid_idx]), 0.0)
    chosen = _rows(logits, test_idx)
    for alpha in CORRECTION_ALPHAS:
        for autoscale in (True, False):
            model = CorrectAndSmooth(NUM_LAYERS, alpha, NUM_LAYERS, 0.0, autoscale)
            with _quiet():
                corrected = model.correct(own, labels, train_idx, adj)
            # No error at all, automatically scaled, is 0 / 0.
            corrected = torch.where(corrected.isnan(), own, corrected)
            for smoothing in SMOOTHING_ALPHAS:
                model = CorrectAndSmooth(NUM_LAYERS, alpha, NUM_LAYERS, smoothing)
                with _quiet():
                    smoothed = model.smooth(corrected, labels, train_idx, adj)
                reached = score(_rows(smoothed, valid_idx), y[valid_idx])
                if reached > best.valid_score:
                    best = SmoothedResult(reached, 0.0, alpha, smoothing, autoscale)
                    chosen = _rows(smoothed, test_idx)
    return dataclasses.replace(best, test_score=score(chosen, y[test_idx]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says once of every CSR tensor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        yield


def _rows(values: Tensor, idx: Tensor) -> Tensor:
    """Rows of a tensor of any device, where labels are."""
    return values[idx.to(values.device)].cpu()
