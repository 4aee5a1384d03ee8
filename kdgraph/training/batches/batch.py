"""Batch: what a network learns from in one step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdgraph.training.batches.blocks import Block


@dataclass(frozen=True)
class Batch:
    """What a network learns from in one step.

    Args:
        graph: The whole graph as the network takes it, or the block of each layer.
        n_id: The nodes whose vectors it reads; ``None`` for all.
        rows: Rows of the scores that have labels to learn. (default: all)
        labels: Theirs. (default: none)
        share: Of the training nodes of an epoch that the whole step learns from.
        weight: Of the mean loss over these rows in that of the step: where processes
            share it, so many times more as there are, and the part that is here.
        taught: Rows of the scores that learn from guidance, and their nodes; ``None``
            for all nodes in their order.
        taught_weight: Of their mean loss in that of the step, as ``weight`` is.
    """

    graph: Tensor | list[Block]
    n_id: Tensor | None
    rows: Tensor | slice = field(default_factory=lambda: slice(None))
    labels: Tensor = field(default_factory=lambda: torch.empty(0))
    share: float = 1.0
    weight: float = 1.0
    taught: tuple[slice, Tensor] | None = None
    taught_weight: float = 1.0
