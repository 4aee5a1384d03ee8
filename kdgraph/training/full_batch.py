"""FullBatch: one step an epoch, over all nodes."""

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.data import Graph
from kdgraph.encoder import Encoder
from kdgraph.training.batches import Batch
from kdgraph.training.batching import Batching
from kdgraph.training.classifier import NodeClassifier, features_for


class FullBatch(Batching):
    """All nodes at once.

    Args:
        graph: The graph.
        model: Encoder, guidance and network.
        adjacency: The graph as the network takes it.
        device: Where it is.
    """

    all_at_once = True

    def __init__(
        self,
        graph: Graph,
        model: NodeClassifier,
        adjacency: Tensor,
        device: torch.device,
    ) -> None:
        self.model = model
        rows = graph.train_idx.to(device)
        self._batch = Batch(adjacency, None, rows, graph.y.to(device)[rows])

    @property
    @override
    def steps(self) -> int:
        return 1

    @override
    def batch(self, epoch: int, step: int) -> Batch:
        return self._batch

    @override
    def end_epoch(self, epoch: int) -> None:
        """Nothing to do: random numbers go on from one epoch to the next."""

    @override
    @torch.no_grad()
    def scores(
        self, rows: Tensor | None = None, encoder: Encoder | None = None
    ) -> Tensor:
        gnn = self.model.eval().gnn
        features = features_for(gnn, encoder or self.model.encoder)
        scores: Tensor = gnn(features, self._batch.graph)
        return scores if rows is None else scores[rows]
