"""ClassTargets: a guess of the class of every node, in three bytes."""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.optimizer_state import training_bytes

_CHUNK_ROWS = 1 << 16
_BYTE = 1 << 8
_MOST_CLASSES = 1 << 15


class ClassTargets(nn.Module):
    r"""Distil guessed classes into a classifier.

    Distillation without a teacher table: scores F of the classes, made on the fly by
    label propagation or by spreading the model's own probabilities over the graph,
    become one class and one confidence per node,

    .. math::
        c_v = \arg\max_t F_{vt}, \qquad
        w_v = \frac{F_{v c_v}^{1/\tau}}{\sum_t F_{vt}^{1/\tau}},

    the largest entry of the scores sharpened by the temperature :math:`\tau`, and 0
    where a node has no score. The loss is cross-entropy on the logits,

    .. math:: \lambda \frac{\sum_v w_v \, \mathrm{CE}(z_v, c_v)}{|\{v : w_v > 0\}|}.

    It is for one class per node. It keeps 3 bytes per node while training, 4 where
    there are more than 256 classes, and nothing afterwards; a step takes 12 bytes per
    node and the gradient of the logits. There are no targets, and the loss is 0, until
    :meth:`set_scores`.

    Args:
        num_nodes: Number of nodes N.
        num_classes: Number of classes T.
        weight: :math:`\lambda`. (default: ``1.0``)
        temperature: :math:`\tau`; small values trust every guess. (default: ``0.5``)

    Raises:
        ValueError: A number out of range.

    Example:
        >>> scores = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
        >>> targets = ClassTargets.from_scores(scores)
        >>> targets.classes.tolist(), targets.confidences.tolist()
        ([0, 0], [0.89990234375, 0.0])
        >>> targets.training_bytes()
        6
        >>> round(targets(torch.zeros(2, 2)).item(), 4)  # 0.9 log 2
        0.6238
    """

    classes: Tensor
    confidences: Tensor

    def __init__(
        self,
        num_nodes: int,
        num_classes: int,
        *,
        weight: float = 1.0,
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        if num_nodes < 0 or not 1 <= num_classes <= _MOST_CLASSES:
            raise ValueError(
                "ClassTargets expects num_nodes of at least 0 and num_classes in "
                f"[1, {_MOST_CLASSES}], got {num_nodes} and {num_classes}"
            )
        if not 0.0 <= weight < math.inf or not 0.0 < temperature < math.inf:
            raise ValueError(
                "ClassTargets expects weight of at least 0 and temperature above 0, "
                f"got {weight} and {temperature}"
            )
        self.num_nodes = num_nodes
        self.num_classes = num_classes
        self.weight = weight
        self.temperature = temperature
        narrow = torch.uint8 if num_classes <= _BYTE else torch.int16
        self.register_buffer("classes", torch.zeros(num_nodes, dtype=narrow))
        self.register_buffer("confidences", torch.zeros(num_nodes, dtype=torch.float16))

    @classmethod
    def from_scores(
        cls, scores: Tensor, temperature: float = 0.5, weight: float = 1.0
    ) -> Self:
        """The targets that class scores ``[N, T]`` give; see :meth:`set_scores`.

        Raises:
            ValueError: Scores or numbers that are refused.
        """
        if scores.dim() != 2:
            raise ValueError(
                f"ClassTargets expects scores of shape [N, T], got {list(scores.shape)}"
            )
        targets = cls(*scores.shape, weight=weight, temperature=temperature)
        targets.to(scores.device).set_scores(scores)
        return targets

    @torch.no_grad()
    def set_scores(self, scores: Tensor) -> None:
        """Take classes and confidences from new scores, in chunks of nodes.

        Args:
            scores: F, ``[N, T]``; their scale does not matter, row by row.

        Raises:
            ValueError: Scores of another shape, negative or not finite; the targets are
                as they were then.
        """
        if scores.shape != (self.num_nodes, self.num_classes):
            raise ValueError(
                f"ClassTargets expects scores of shape [{self.num_nodes}, "
                f"{self.num_classes}], got {list(scores.shape)}"
            )
        if scores.numel():
            low, high = (float(end) for end in torch.aminmax(scores))
            if not 0.0 <= low <= high < math.inf:
                raise ValueError(
                    "ClassTargets expects scores that are finite and at least 0, got "
                    f"{low} to {high}; give probabilities, not logits"
                )
        for start in range(0, self.num_nodes, _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            top, best = scores[rows].float().max(dim=1)
            # Divided by the largest first, so that no power of it vanishes.
            ratio = scores[rows].float() / top.unsqueeze(1)
            share = 1.0 / ratio.pow_(1.0 / self.temperature).sum(dim=1)
            self.classes[rows] = best.to(self.classes.dtype)
            self.confidences[rows] = torch.where(top > 0, share, 0.0).half()

    def forward(self, logits: Tensor, n_id: Tensor | None = None) -> Tensor:
        """The loss, a scalar; 0 where no node has a target.

        Args:
            logits: Of the nodes ``n_id``, or of all nodes where that is ``None``.
            n_id: The nodes of a batch. (default: ``None``)

        Shapes:
            - **logits:** ``[B, T]``
            - **n_id:** ``[B]``

        Raises:
            ValueError: Logits of another shape.
        """
        classes, confidences = self.classes, self.confidences
        if n_id is not None:
            classes, confidences = classes[n_id], confidences[n_id]
        if logits.shape != (classes.numel(), self.num_classes):
            raise ValueError(
                f"ClassTargets expects logits of shape [{classes.numel()}, "
                f"{self.num_classes}], got {list(logits.shape)}; it is for one class "
                "per node"
            )
        loss = functional.cross_entropy(logits, classes.long(), reduction="none")
        guided = (confidences > 0).sum().clamp(min=1)
        return self.weight * (loss * confidences.to(loss.dtype)).sum() / guided

    def training_bytes(self) -> int:
        """Exact bytes held while training: the classes and their confidences."""
        return training_bytes(self)

    def extra_repr(self) -> str:
        """Sizes and numbers."""
        return (
            f"{self.num_nodes}, {self.num_classes}, weight={self.weight}, "
            f"temperature={self.temperature}"
        )
