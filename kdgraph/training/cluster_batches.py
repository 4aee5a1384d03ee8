"""ClusterBatches: steps over unions of clusters, with the edges among them."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.data import Graph
from kdgraph.data._clusters import Clusters
from kdgraph.training.batches import Batch
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.mini_batches import MiniBatches, generator_of


class ClusterBatches(MiniBatches):
    """Random unions of clusters (Chiang et al., "Cluster-GCN", KDD 2019).

    Every epoch visits each cluster once, with others in every epoch. Edges that leave a
    union are missing in its step; what sums over neighbours counts those that are left
    as often as they are fewer. Each layer computes all nodes of the union, so that a
    step costs what its edges do, however many layers there are.

    Args:
        graph: The graph; its arrays may be mapped from files.
        model: Encoder, guidance and network.
        clusters: The cluster of each node, ``[N]``.
        batch_size: About how many nodes a union has.
        num_layers: Of the network.
        **options: See :class:`MiniBatches`.
    """

    def __init__(
        self,
        graph: Graph,
        model: NodeClassifier,
        *,
        clusters: Tensor,
        batch_size: int,
        num_layers: int,
        **options: Any,
    ) -> None:
        super().__init__(graph, model, **options)
        self.clusters = Clusters(clusters, graph.num_nodes)
        mean = graph.num_nodes / max(1, len(self.clusters))
        self.per_step = max(1, round(batch_size / mean))
        self.num_layers = num_layers
        self._trains = torch.zeros(graph.num_nodes, dtype=torch.bool)
        self._trains[graph.train_idx] = True

    @property
    @override
    def steps(self) -> int:
        return -(-len(self.clusters) // self.per_step)

    @override
    def _draw(self, epoch: int, step: int) -> Batch:
        order = torch.randperm(
            len(self.clusters), generator=generator_of(self.seed, epoch)
        )
        chosen = order[step * self.per_step : (step + 1) * self.per_step]
        nodes = torch.cat([self.clusters[place] for place in chosen.tolist()])
        block = self.sampler.induced(nodes).to(self.device)
        rows = self._trains[nodes].nonzero().flatten()
        taught = None
        if self.model.targets is not None:
            taught = slice(None), nodes.to(self.device)
        return Batch(
            graph=[block] * self.num_layers,
            n_id=block.n_id,
            rows=rows.to(self.device),
            labels=self.y[nodes[rows]].to(self.device),
            share=rows.numel() / self.train_idx.numel(),
            taught=taught,
        )
