"""NeighborBatches: steps over sampled neighbourhoods of a few training nodes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.data import Graph
from kdgraph.training.batches import Batch
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.mini_batches import MiniBatches, generator_of, mixed

_TAUGHT = 1
"""Told apart from the order of training nodes: that of nodes which guidance teaches."""


class NeighborBatches(MiniBatches):
    """Mini-batches of training nodes and what is sampled around them.

    From "Inductive Representation Learning on Large Graphs" (Hamilton, Ying, Leskovec,
    NeurIPS 2017). Every epoch visits the training nodes in another order. Processes
    that train together divide the nodes of each step.

    Args:
        graph: The graph; its arrays may be mapped from files.
        model: Encoder, guidance and network.
        batch_size: Training nodes of a step, of all processes together.
        fanout: Neighbours that each layer draws, the last layer's first.
        **options: See :class:`MiniBatches`.
    """

    def __init__(
        self,
        graph: Graph,
        model: NodeClassifier,
        *,
        batch_size: int,
        fanout: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__(graph, model, **options)
        self.batch_size = batch_size
        self.fanout = list(fanout)
        self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    @override
    def steps(self) -> int:
        return -(-self.train_idx.numel() // self.batch_size)

    @override
    def _draw(self, epoch: int, step: int) -> Batch:
        chosen = self._nodes(epoch, step, 0)
        own = chosen[self.ranks.part(chosen.numel())]
        seeds, taught, taught_weight = own, None, 1.0
        if self.model.targets is not None:
            drawn = self._nodes(epoch, step, _TAUGHT)
            part = self.ranks.part(drawn.numel())
            # The loss is a mean over the nodes among them that have a target.
            guided = self.model.targets.confidences[drawn] > 0
            taught_weight = float(guided[part].sum() / guided.sum().clamp(min=1))
            taught_weight *= self.ranks.size
            others = drawn[part]
            seeds = torch.cat([own, others])
            taught = slice(own.numel(), seeds.numel()), others.to(self.device)
        blocks = self.sampler.chain(seeds, self.fanout, mixed(self.seed, epoch, step))
        blocks = [block.to(self.device) for block in blocks]
        return Batch(
            graph=blocks,
            n_id=blocks[0].n_id,
            rows=slice(0, own.numel()),
            labels=self.y[own].to(self.device),
            share=chosen.numel() / self.train_idx.numel(),
            weight=self.ranks.size * own.numel() / chosen.numel(),
            taught=taught,
            taught_weight=taught_weight,
        )

    def _nodes(self, epoch: int, step: int, kind: int) -> Tensor:
        """Training nodes of a step, or as many of all nodes, in random order."""
        first = step * self.batch_size
        count = min(self.batch_size, self.train_idx.numel() - first)
        if kind == _TAUGHT:
            generator = generator_of(self.seed, epoch, step, kind)
            return torch.randint(self.num_nodes, (count,), generator=generator)
        known, order = self._order
        if known != epoch:
            generator = generator_of(self.seed, epoch, 0, kind)
            order = torch.randperm(self.train_idx.numel(), generator=generator)
            self._order = epoch, order
        return self.train_idx[order[first : first + count]]
