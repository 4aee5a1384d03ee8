"""Mini-batches of a GraphSAGE on codes, or on a float table."""

import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer, SparseAdam

from benchmarks.clock import Clock
from benchmarks.scale.codes import read_codes
from benchmarks.scale.graph import MappedGraph, open_graph
from benchmarks.scale.setting import Setting
from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.nn import CodedSAGEConv
from kdgraph.ops import Sampled, sample_neighbors
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss

ENCODERS = ("codes", "table")
_RATE = 0.01
_DROPOUT = 0.5
_PHASES = ("sample", "forward", "backward", "update")


class Encoding(nn.Module):
    """Vectors of nodes: of fixed codes whose codebooks learn, or of a table.

    Args:
        setting: Sizes.
        folder: Where codes may lie.
        kind: ``"codes"`` or ``"table"``.
    """

    def __init__(self, setting: Setting, folder: Path, kind: str) -> None:
        super().__init__()
        nodes, channels = setting.num_nodes, setting.channels
        self.source = kind
        self.encoder: KDEmbedding | nn.Embedding
        if kind == "table":
            self.encoder = nn.Embedding(nodes, channels, sparse=True)
            # The state of SparseAdam is twice as large again.
            self.training_bytes = 3 * self.encoder.weight.nbytes
        else:
            table, self.source = read_codes(setting, folder)
            self.encoder = KDEmbedding(
                nodes, channels, coder=FixedCoder(table), composer="concat"
            )
            self.training_bytes = self.encoder.training_bytes("adam")

    def forward(self, n_id: Tensor, targets: int) -> Any:
        """Features of nodes, and of the first of them, which are targets."""
        if isinstance(self.encoder, KDEmbedding):
            return self.encoder.coded(n_id), self.encoder.coded(n_id[:targets])
        x = self.encoder(n_id)
        return x, x[:targets]

    def optimizer(self) -> Optimizer:
        """Adam, over the rows of a batch where it is a table."""
        kind = Adam if isinstance(self.encoder, KDEmbedding) else SparseAdam
        return kind(list(self.parameters()), lr=_RATE)


class Sage(nn.Module):
    """GraphSAGE of two layers on a sampled graph; a layer takes what it needs alone."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = CodedSAGEConv(channels, channels)
        self.second = CodedSAGEConv(channels, num_classes)

    def forward(self, encoding: Encoding, drawn: Sampled) -> Tensor:
        """Class scores of the seeds."""
        inner = sum(drawn.num_nodes[:2])
        x = encoding(drawn.node, inner)
        hidden = self.first(x, _adjacency(drawn, 2)).relu()
        hidden = functional.dropout(hidden, _DROPOUT, training=self.training)
        pair = hidden, hidden[: drawn.num_nodes[0]]
        scores: Tensor = self.second(pair, _adjacency(drawn, 1))
        return scores


def train(
    setting: Setting, folder: Path, clock: Clock, kind: str = "codes"
) -> dict[str, Any]:
    """Train for some batches, and time each of those after the warm-up.

    Peak memory is that of the whole process, with the pages of the mapped graph that
    were read.
    """
    torch.manual_seed(setting.seed)
    torch.set_num_threads(setting.threads)
    reset_peak_rss()
    before = peak_rss_bytes()
    graph = open_graph(folder / "graph")
    encoding = Encoding(setting, folder, kind)
    network = Sage(setting.channels, graph.num_classes)
    optimizers = [encoding.optimizer(), Adam(network.parameters(), lr=_RATE)]
    built = time.perf_counter() - clock.begun
    taken: dict[str, list[float]] = {phase: [] for phase in _PHASES}
    losses, nodes, edges = [], 0, 0
    total = setting.warm_up + setting.batches
    for number, seeds in zip(range(total), _batches(setting, graph), strict=False):
        marks = [time.perf_counter()]
        drawn = sample_neighbors(
            graph.rowptr, graph.col, seeds, setting.num_neighbors, seed=number
        )
        marks.append(time.perf_counter())
        loss = functional.cross_entropy(network(encoding, drawn), graph.y[seeds])
        marks.append(time.perf_counter())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        marks.append(time.perf_counter())
        for optimizer in optimizers:
            optimizer.step()
        marks.append(time.perf_counter())
        losses.append(loss.item())
        if number >= setting.warm_up:
            nodes, edges = nodes + len(drawn.node), edges + len(drawn.row)
            for phase, start, stop in zip(_PHASES, marks, marks[1:], strict=False):
                taken[phase].append(stop - start)
        clock((number + 1) / total, "training")
    return {
        "encoder": kind,
        "codes": encoding.source,
        **_times(taken),
        "build_seconds": built,
        "nodes_per_batch": nodes / setting.batches,
        "edges_per_batch": edges / setting.batches,
        "loss": [losses[0], statistics.mean(losses[-setting.batches // 5 :])],
        "graph_bytes": graph.nbytes,
        "encoder_training_bytes": encoding.training_bytes,
        "rss_bytes_before": before,
    }


def _times(taken: dict[str, list[float]]) -> dict[str, Any]:
    batches = [sum(parts) for parts in zip(*taken.values(), strict=True)]
    return {
        "seconds_per_1000": 1000 * statistics.mean(batches),
        "median_seconds_per_1000": 1000 * statistics.median(batches),
        "phase_seconds_per_1000": {
            phase: 1000 * statistics.mean(found) for phase, found in taken.items()
        },
    }


def _batches(setting: Setting, graph: MappedGraph) -> Iterator[Tensor]:
    """Nodes to train on, shuffled in every epoch."""
    while True:
        order = torch.randperm(graph.train_idx.numel())
        yield from torch.split(graph.train_idx[order], setting.batch_size)


def _adjacency(drawn: Sampled, hops: int) -> Tensor:
    """What the first hops drew, with targets in rows; edges come target by target."""
    edges = sum(drawn.num_edges[:hops])
    targets, sources = (sum(drawn.num_nodes[:end]) for end in (hops, hops + 1))
    row, col = drawn.row[:edges], drawn.col[:edges]
    rowptr = torch.searchsorted(col, torch.arange(targets + 1))
    ones = torch.ones(edges)
    with warnings.catch_warnings():
        # The layout is announced as beta, once.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            rowptr, row, ones, (targets, sources), check_invariants=False
        )
