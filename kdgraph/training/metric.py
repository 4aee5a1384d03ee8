"""Metric: by what runs are compared and epochs are picked."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from kdgraph.data import Graph
from kdgraph.training.metrics import (
    accuracy,
    average_precision,
    best_threshold,
    macro_f1_top_k,
    micro_f1,
    micro_f1_top_k,
    roc_auc,
    scored_labels,
)

Score = Callable[[Tensor, Tensor], float]
_MULTI_LABEL: dict[str, Score | None] = {
    "micro-f1": None,
    "micro-f1-top-k": micro_f1_top_k,
    "macro-f1-top-k": macro_f1_top_k,
    "roc-auc": roc_auc,
    "ap": average_precision,
}
"""By name; ``None`` where a threshold is picked first."""
_BY_TASK = ("roc-auc", "ap")
METRICS = ("accuracy", *_MULTI_LABEL)


@dataclass(frozen=True)
class Metric:
    r"""How class scores of nodes are judged.

    ==================  ==============================================================
    ``accuracy``        one class a node: the share that is right
    ``micro-f1``        :math:`2 TP / (2 TP + FP + FN)` over all pairs of node and
                        label; a label is predicted where its probability exceeds one
                        threshold, which validation picks
    ``micro-f1-top-k``  the same, with as many labels predicted as the node has
                        (Perozzi et al., KDD 2014)
    ``macro-f1-top-k``  so predicted, the mean of the F1 of each label
    ``roc-auc``         area under the ROC curve, the mean over labels (ogbn-proteins)
    ``ap``              average precision, the mean over labels
    ==================  ==============================================================

    Args:
        name: One of :data:`METRICS`.
        threshold: Of ``micro-f1``, see :meth:`fitted`. (default: ``None``)

    Raises:
        ValueError: Another name.

    Example:
        >>> import torch
        >>> y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> probabilities = torch.tensor([[0.3, 0.1], [0.1, 0.2]])
        >>> metric = Metric("micro-f1").fitted(probabilities, y)
        >>> metric(probabilities, y), round(metric.threshold, 4)
        (1.0, 0.15)
    """

    name: str
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.name not in METRICS:
            raise ValueError(
                f"unknown metric {self.name!r}: expected one of {', '.join(METRICS)}"
            )

    @property
    def _picks_threshold(self) -> bool:
        return self.name == "micro-f1"

    def check(self, graph: Graph) -> None:
        """Refuse a graph whose labels it cannot score.

        Raises:
            ValueError: Labels of the other kind, or a split without a label that has
                both positive and negative nodes where the metric needs one.
        """
        if graph.multi_label != (self.name in _MULTI_LABEL):
            kind, fit = "one class", "accuracy"
            if graph.multi_label:
                kind, fit = "several labels", ", ".join(_MULTI_LABEL)
            raise ValueError(
                f"metric {self.name!r} does not score {graph.name}, which has {kind} "
                f"per node; use {fit}"
            )
        if self.name not in _BY_TASK:
            return
        for part in ("valid_idx", "test_idx"):
            y = graph.y[getattr(graph, part)]
            if y.size(0) and not scored_labels(y).any():
                raise ValueError(
                    f"metric {self.name!r} needs a label with both positive and "
                    f"negative nodes in {part} of {graph.name}, got none; use micro-f1 "
                    "or another split"
                )

    def scores(self, logits: Tensor) -> Tensor:
        """What of a network's output is judged: probabilities where a threshold is set.

        Elsewhere logits themselves, as rounding makes some probabilities equal whose
        logits differ.
        """
        return logits.float().sigmoid() if self._picks_threshold else logits

    def fitted(self, scores: Tensor, y: Tensor) -> "Metric":
        """The same metric, with the threshold that is best on these nodes.

        Args:
            scores: Of validation nodes, ``[n, T]``.
            y: Their labels.
        """
        if not self._picks_threshold:
            return self
        return dataclasses.replace(self, threshold=best_threshold(scores, y))

    def __call__(self, scores: Tensor, y: Tensor) -> float:
        """The score of some nodes.

        Args:
            scores: ``[n, T]``, what :meth:`scores` gives.
            y: Their classes ``[n]``, or labels ``[n, T]``.

        Raises:
            ValueError: ``micro-f1`` before a threshold was picked.
        """
        if self.name == "accuracy":
            return accuracy(scores, y)
        function = _MULTI_LABEL[self.name]
        if function is not None:
            return function(scores, y)
        if self.threshold is None:
            raise ValueError(
                "metric 'micro-f1' needs a threshold; call 'fitted' with scores of "
                "validation nodes first"
            )
        return micro_f1(scores > self.threshold, y)
