"""Rivals: the baselines by name, and how each is made for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import sparse

from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.codes.progress import Progress
from kdgraph.encoder import Encoder
from kdgraph.training.reading import Reading

if TYPE_CHECKING:
    from kdgraph.training.config import TrainConfig

DEFAULT_COMPRESSION = 50
"""Times smaller than the float32 table, where neither bytes nor sizes are given."""
DEFAULT_RANK = 4

Make = Callable[["TrainConfig", int, Reading], Encoder]
"""From a configuration, N and what was read; an empty reading asks for sizes alone."""
Read = Callable[["TrainConfig", sparse.csr_array, int, "Progress | None"], Reading]
"""From a configuration, the adjacency, a seed and whom to tell."""
Finish = Callable[["TrainConfig", Encoder, int], Encoder]
"""From a configuration, a trained encoder and a seed to what is kept of it."""


@dataclass(frozen=True)
class Rival:
    """How a baseline is made.

    Args:
        make: Its encoder.
        read: What it reads off the graph, if it reads anything. (default: ``None``)
        finish: What becomes of it after training, without another step; its scores are
            those of what is kept. (default: ``None``)
    """

    make: Make
    read: Read | None = None
    finish: Finish | None = None


def budget(config: TrainConfig, num_nodes: int) -> int:
    """Bytes that a rival may keep: as asked, else one fiftieth of the table."""
    if config.max_bytes is not None:
        return config.max_bytes
    if config.bytes_per_node is not None:
        return int(config.bytes_per_node * num_nodes)
    return int(4 * num_nodes * config.dim / (config.compression or DEFAULT_COMPRESSION))


def _full(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
    return FullEmbedding(num_nodes, config.dim, sparse=config.by_rows)


def _low_rank(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
    sizes, rank = (num_nodes, config.dim), config.rank
    if rank is None and not _says_bytes(config):
        rank = min(DEFAULT_RANK, *sizes)
    if rank is not None:
        # Both a rank and bytes are for the encoder to refuse.
        given, sparse_rows = config.max_bytes, config.by_rows
        return LowRankEmbedding(*sizes, rank, max_bytes=given, sparse=sparse_rows)
    most = budget(config, num_nodes)
    return LowRankEmbedding.within(most, *sizes, sparse=config.by_rows)


def _says_bytes(config: TrainConfig) -> bool:
    """Whether the configuration says how much may be kept."""
    return any((config.max_bytes, config.bytes_per_node, config.compression))


RIVALS: dict[str, Rival] = {
    "full": Rival(_full),
    "lowrank": Rival(_low_rank),
}
