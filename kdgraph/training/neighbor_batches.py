"""NeighborBatches: steps over sampled neighbourhoods of a few training nodes."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.data import Graph
from kdgraph.encoder import Encoder
from kdgraph.training.batches import Batch, BlockSampler, LayerwiseInference
from kdgraph.training.batching import Batching
from kdgraph.training.classifier import NodeClassifier, features_for
from kdgraph.training.ranks import Ranks

_TAUGHT = 1
"""Told apart from the order of training nodes: that of nodes which guidance teaches."""


class NeighborBatches(Batching):
    """Mini-batches of training nodes and what is sampled around them.

    From "Inductive Representation Learning on Large Graphs" (Hamilton, Ying, Leskovec,
    NeurIPS 2017). The order of nodes follows from the seed and the epoch, and what is
    drawn around them from the step, so that any step can be made again. Processes that
    train together divide the nodes of each step. The next batch is drawn while this one
    is learned from.

    Args:
        graph: The graph; its arrays may be mapped from files.
        model: Encoder, guidance and network.
        network: The name of the network, see :class:`BlockSampler`.
        batch_size: Training nodes of a step, of all processes together.
        fanout: Neighbours that each layer draws, the last layer's first.
        seed: Of all that is drawn. (default: ``0``)
        memory: Bytes that inference may take. (default: 4 GiB)
        ranks: The processes that share the work. (default: this one)
        device: Where the model is. (default: the CPU)
    """

    all_at_once = False

    def __init__(
        self,
        graph: Graph,
        model: NodeClassifier,
        *,
        network: str,
        batch_size: int,
        fanout: Sequence[int],
        seed: int = 0,
        memory: int = 4 << 30,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.model = model
        self.train_idx = graph.train_idx
        self.y = graph.y
        self.num_nodes = graph.num_nodes
        self.batch_size = batch_size
        self.fanout = list(fanout)
        self.seed = seed
        self.ranks = ranks or Ranks()
        self.device = device or torch.device("cpu")
        self.sampler = BlockSampler(graph, network)
        self.memory = memory
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kdgraph-sampler")
        self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    @override
    def steps(self) -> int:
        return -(-self.train_idx.numel() // self.batch_size)

    @override
    def batch(self, epoch: int, step: int) -> Batch:
        place = epoch, step
        if self._next is not None and self._next[0] == place:
            found = self._next[1].result()
        else:
            found = self._draw(*place)
        # All that is random in a step follows from its place, in all processes.
        torch.manual_seed(mixed(self.seed, *place, 2))
        after = (epoch, step + 1) if step + 1 < self.steps else (epoch + 1, 0)
        self._next = after, self._pool.submit(self._draw, *after)
        return found

    @override
    @torch.no_grad()
    def scores(
        self, rows: Tensor | None = None, encoder: Encoder | None = None
    ) -> Tensor:
        gnn = self.model.eval().gnn
        chosen = encoder or self.model.encoder
        infer = LayerwiseInference(
            gnn, self.sampler, self.memory, self.ranks, self.device
        )
        return infer(lambda n_id: features_for(gnn, chosen, n_id), rows)

    def _draw(self, epoch: int, step: int) -> Batch:
        chosen = self._nodes(epoch, step, 0)
        own = chosen[self.ranks.part(chosen.numel())]
        seeds, taught = own, None
        if self.model.targets is not None:
            others = self._nodes(epoch, step, _TAUGHT)
            others = others[self.ranks.part(others.numel())]
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
        )

    def _nodes(self, epoch: int, step: int, kind: int) -> Tensor:
        """Training nodes of a step, or as many of all nodes, in random order."""
        first = step * self.batch_size
        count = min(self.batch_size, self.train_idx.numel() - first)
        if kind == _TAUGHT:
            generator = _generator(self.seed, epoch, step, kind)
            return torch.randint(self.num_nodes, (count,), generator=generator)
        known, order = self._order
        if known != epoch:
            generator = _generator(self.seed, epoch, 0, kind)
            order = torch.randperm(self.train_idx.numel(), generator=generator)
            self._order = epoch, order
        return self.train_idx[order[first : first + count]]


def mixed(*numbers: int) -> int:
    """A seed of 62 bits that any of some small numbers changes."""
    value = 0
    for number in numbers:
        value = (value ^ number) * 0x9E3779B97F4A7C15 % (1 << 64)
        value ^= value >> 29
    return value >> 2


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(mixed(*numbers))
