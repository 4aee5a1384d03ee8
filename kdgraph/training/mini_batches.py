"""MiniBatches: what ways through a graph in parts share."""

from abc import abstractmethod
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


class MiniBatches(Batching):
    """Steps over parts of a graph, and inference layer by layer.

    What a step learns from follows from the seed, the epoch and the step, so that any
    step can be made again, and so does all that is random in it. The next batch is
    drawn while this one is learned from.

    Args:
        graph: The graph; its arrays may be mapped from files.
        model: Encoder, guidance and network.
        network: The name of the network, see
            :class:`kdgraph.training.batches.BlockSampler`.
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
        seed: int = 0,
        memory: int = 4 << 30,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.model = model
        self.train_idx = graph.train_idx
        self.y = graph.y
        self.num_nodes = graph.num_nodes
        self.seed = seed
        self.memory = memory
        self.ranks = ranks or Ranks()
        self.device = device or torch.device("cpu")
        self.sampler = BlockSampler(graph, network)
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kdgraph-sampler")

    @override
    def batch(self, epoch: int, step: int) -> Batch:
        place = epoch, step
        if self._next is not None and self._next[0] == place:
            found = self._next[1].result()
        else:
            found = self._draw(*place)
        torch.manual_seed(mixed(self.seed, *place, 2))
        after = (epoch, step + 1) if step + 1 < self.steps else (epoch + 1, 0)
        self._next = after, self._pool.submit(self._draw, *after)
        return found

    @override
    def end_epoch(self, epoch: int) -> None:
        # Processes whose parts differ in size have drawn differently often.
        torch.manual_seed(mixed(self.seed, epoch, self.steps, 2))

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

    @abstractmethod
    def _draw(self, epoch: int, step: int) -> Batch:
        """What a step learns from."""


def mixed(*numbers: int) -> int:
    """A seed of 62 bits that any of some small numbers changes."""
    value = 0
    for number in numbers:
        value = (value ^ number) * 0x9E3779B97F4A7C15 % (1 << 64)
        value ^= value >> 29
    return value >> 2


def generator_of(*numbers: int) -> torch.Generator:
    """A generator that any of some small numbers changes."""
    return torch.Generator().manual_seed(mixed(*numbers))
