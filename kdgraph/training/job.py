"""Job: what all seeds of a run share."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdgraph.data import Graph
from kdgraph.training.config import TrainConfig
from kdgraph.training.loop import Trainer
from kdgraph.training.ranks import Ranks
from kdgraph.training.read_before import ReadBefore
from kdgraph.training.run_dir import RunDir

OnEpoch = Callable[[int, str, Trainer], None]
"""Called with the seed, the stage (``"teacher"`` or ``"student"``) and its trainer."""

OnCoding = Callable[[int, float, str], None]
"""Called with the seed, the fraction done and the stage of reading codes."""


@dataclass(frozen=True)
class Job:
    """What all seeds of a run share.

    Args:
        graph: Where to train.
        config: The resolved configuration.
        adjacency: The graph as the network takes it whole; ``None`` for mini-batches.
        device: Where to run.
        run_dir: Where checkpoints and models go, or ``None``.
        checkpoint_seconds: Least time between checkpoints; 0 for every epoch.
        on_epoch: Told of every epoch.
        on_coding: Told how far codes are read off the graph.
        on_step: Told of every step but the last of an epoch.
        ranks: The processes that train together.
        read: What was read off it so far.
    """

    graph: Graph
    config: TrainConfig
    adjacency: Tensor | None
    device: torch.device
    run_dir: RunDir | None = None
    checkpoint_seconds: float = 15.0
    on_epoch: OnEpoch | None = None
    on_coding: OnCoding | None = None
    on_step: OnEpoch | None = None
    ranks: Ranks = field(default_factory=Ranks)
    read: ReadBefore = field(default_factory=ReadBefore)
