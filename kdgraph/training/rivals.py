"""Rivals: the baselines by name, and how each is made for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from scipy import sparse
from torch import Tensor

from kdgraph.baselines import (
    BloomEmbedding,
    CCEEmbedding,
    DeepHashEmbedding,
    FrozenEmbedding,
    FullEmbedding,
    HashingEmbedding,
    Int8Embedding,
    LowRankEmbedding,
    MultiHashEmbedding,
    PositionHashEmbedding,
    QuantizedRows,
    QuotientRemainderEmbedding,
    ROBEEmbedding,
    TensorTrainEmbedding,
    decoder_sizes,
    dpq_sx,
    dpq_vq,
    hash_decoder,
    kd_encoding,
    quantize_table,
    unfilled,
)
from kdgraph.baselines.kd_encoding import Composition
from kdgraph.baselines.quantized_table import Method
from kdgraph.baselines.quotient_remainder import Operation
from kdgraph.codes import (
    CodeTable,
    deepwalk_vectors,
    node2vec_vectors,
    partition_codes,
    partition_graph,
    projection_codes,
)
from kdgraph.codes.place_map import map_bytes
from kdgraph.codes.progress import Progress
from kdgraph.composers.factors import covering_factors
from kdgraph.data import Graph
from kdgraph.encoder import Encoder
from kdgraph.ops import row_bytes
from kdgraph.training.correct_and_smooth import SmoothedResult, correct_and_smooth
from kdgraph.training.reading import Reading

if TYPE_CHECKING:
    from kdgraph.training.config import TrainConfig

DEFAULT_COMPRESSION = 50
"""Times smaller than the float32 table, where neither bytes nor sizes are given."""
DEFAULT_RANK = 4
WALKED_PAIRS = 20_000_000
"""Of skip-gram on random walks: a minute or less for a seed."""
ADAGRAD_LR = 5.0
"""Times the learning rate of Adam."""

Make = Callable[["TrainConfig", int, Reading], Encoder]
"""From a configuration, N and what was read; an empty reading asks for sizes alone."""
Read = Callable[["TrainConfig", sparse.csr_array, int, "Progress | None"], Reading]
"""From a configuration, the adjacency, a seed and whom to tell."""
Head = Callable[[Graph, Tensor], SmoothedResult]
"""From a graph and the class scores of all nodes to scores with a head on top."""
Walk = Callable[..., Tensor]
"""From an adjacency, a width and keywords to vectors of nodes."""
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
        head: What is made of its class scores, with the labels of the training nodes;
            the scores are then those of it. (default: ``None``)
        kept: What ``finish`` leaves, in its sizes and without a trained table: for what
            only counts bytes. Given wherever ``finish`` is. (default: ``None``)
        ordered: Whether its nodes come in the order that it reads, so that a map from
            ids to places counts beside the encoder. (default: ``False``)
    """

    make: Make
    read: Read | None = None
    finish: Finish | None = None
    head: Head | None = None
    kept: Make | None = None
    ordered: bool = False


def budget(config: TrainConfig, num_nodes: int) -> int:
    """Bytes that a rival may keep: as asked, else one fiftieth of the table."""
    if config.max_bytes is not None:
        return config.max_bytes
    if config.bytes_per_node is not None:
        return int(config.bytes_per_node * num_nodes)
    return int(4 * num_nodes * config.dim / (config.compression or DEFAULT_COMPRESSION))


def _within(fit: Callable[..., Encoder], *, rows: bool = False, **sizes: Any) -> Make:
    """What fits into the budget, with gradients of rows where it has ``rows``."""

    def make(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
        gradients = {"sparse": config.by_rows} if rows else {}
        most = budget(config, num_nodes)
        return fit(most, num_nodes, config.dim, **sizes, **gradients)

    return make


def _quotient_remainder(operation: Operation) -> Make:
    """Two tables, put together in a way."""
    fit = QuotientRemainderEmbedding.within
    return _within(fit, rows=True, operation=operation)


def _kd_published(composition: Composition) -> Make:
    """The KD encoding of 2018 with a composition of its authors."""
    return _within(kd_encoding, rows=True, composition=composition)


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


def _frozen(config: TrainConfig, num_nodes: int, reading: Reading) -> Encoder:
    vectors = reading.vectors
    if vectors is None:
        vectors = torch.empty(num_nodes, config.dim, device="meta")
    return FrozenEmbedding(vectors)


def _walk_vectors(walk: Walk) -> Read:
    """Vectors of nodes from random walks, before and apart from the network."""

    def read(
        config: TrainConfig, adj: sparse.csr_array, seed: int, progress: Progress | None
    ) -> Reading:
        dim, pairs = config.dim, WALKED_PAIRS
        found = walk(adj, dim, max_pairs=pairs, seed=seed, progress=progress)
        return Reading(vectors=found)

    return read


def _metis_order(
    _: TrainConfig, adj: sparse.csr_array, seed: int, progress: Progress | None
) -> Reading:
    """The nodes by cluster of a cluster, whose digits are those of the cores."""
    branching = covering_factors(adj.shape[0], 3)[:2]
    found = partition_graph(adj, branching, seed=seed, progress=progress)
    return Reading(rows=torch.from_numpy(found.order))


def _position(config: TrainConfig, num_nodes: int, reading: Reading) -> Encoder:
    levels = reading.codes or _no_levels(config, num_nodes, budget(config, num_nodes))
    return PositionHashEmbedding(num_nodes, config.dim, levels)


def _position_levels(
    config: TrainConfig, adj: sparse.csr_array, seed: int, progress: Progress | None
) -> Reading:
    """As many clusters as fit."""
    most = budget(config, adj.shape[0])
    return _levels(config, adj, most, seed, progress)


def _position_hash(config: TrainConfig, num_nodes: int, reading: Reading) -> Encoder:
    most = budget(config, num_nodes)
    levels = reading.codes
    if levels is None:
        levels = _no_levels(config, num_nodes, _for_positions(config, num_nodes))
    return PositionHashEmbedding.within(
        most, num_nodes, config.dim, levels, sparse=config.by_rows
    )


def _position_hash_levels(
    config: TrainConfig, adj: sparse.csr_array, seed: int, progress: Progress | None
) -> Reading:
    """Clusters in half of what importance weights leave, buckets in the other."""
    most = _for_positions(config, adj.shape[0])
    return _levels(config, adj, most, seed, progress)


def _for_positions(config: TrainConfig, num_nodes: int) -> int:
    """Bytes of the levels of a position hash with two hashes.

    Raises:
        ValueError: Not even two clusters fit into them.
    """
    most, weights = budget(config, num_nodes), 8 * num_nodes
    least = weights + 2 * (num_nodes + 8 * config.dim)
    if most < least:
        raise ValueError(
            f"PositionHashEmbedding does not fit max_bytes={most}: importance weights, "
            f"and two clusters in half of what these leave, take {least} bytes; allow "
            "more"
        )
    return (most - weights) // 2


def _levels(
    config: TrainConfig,
    adj: sparse.csr_array,
    max_bytes: int,
    seed: int,
    progress: Progress | None,
) -> Reading:
    num_nodes = int(adj.shape[0])
    branching = PositionHashEmbedding.branching_within(max_bytes, num_nodes, config.dim)
    return Reading(
        partition_codes(adj, branching, kind="digits", seed=seed, progress=progress)
    )


def _no_levels(config: TrainConfig, num_nodes: int, max_bytes: int) -> CodeTable:
    """Levels of the right sizes, all zero: for what only counts bytes."""
    branching = PositionHashEmbedding.branching_within(max_bytes, num_nodes, config.dim)
    packed = torch.zeros(num_nodes, row_bytes(branching), dtype=torch.uint8)
    return CodeTable(packed, branching)


def _random_projection(
    config: TrainConfig, num_nodes: int, reading: Reading
) -> Encoder:
    most = budget(config, num_nodes)
    return hash_decoder(most, num_nodes, config.dim, codes=reading.codes)


def _projected_codes(
    config: TrainConfig, adj: sparse.csr_array, seed: int, _: Progress | None
) -> Reading:
    """As many bits as fit beside the decoder."""
    num_nodes = int(adj.shape[0])
    sizes = decoder_sizes(budget(config, num_nodes), num_nodes, config.dim)
    return Reading(projection_codes(adj, *sizes[:2], seed=seed))


def _cce(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
    # A few times, early: most of the epochs are left after the last.
    tenth = max(1, (config.epochs or 0) // 10)
    after = (tenth, 2 * tenth, 3 * tenth)
    most = budget(config, num_nodes)
    return CCEEmbedding.within(most, num_nodes, config.dim, cluster_after=after)


def _int8(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
    # Row-wise Adagrad slows down, and wants more than Adam does.
    return Int8Embedding(
        num_nodes,
        config.dim,
        lr=ADAGRAD_LR * config.lr,
        weight_decay=config.weight_decay or 0.0,
    )


def _rounded(bits: int) -> Finish:
    """Rows of a trained table rounded to so many bits."""

    def finish(_: TrainConfig, table: Encoder, __: int) -> Encoder:
        return QuantizedRows.of(table().detach(), bits)

    return finish


def _rounded_rows(bits: int) -> Make:
    """Rows of so many bits, all zero."""

    def make(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
        return QuantizedRows(num_nodes, config.dim, bits=bits)

    return make


def _quantized(method: Method) -> Finish:
    """A trained table in codes."""

    def finish(config: TrainConfig, table: Encoder, seed: int) -> Encoder:
        most = budget(config, table.num_nodes)
        return quantize_table(table().detach(), method, max_bytes=most, seed=seed)

    return finish


def _unfilled(method: Method) -> Make:
    """A quantisation whose codes are all zero."""

    def make(config: TrainConfig, num_nodes: int, _: Reading) -> Encoder:
        return unfilled(method, budget(config, num_nodes), num_nodes, config.dim)

    return make


def _tensor_train_metis(
    config: TrainConfig, num_nodes: int, reading: Reading
) -> Encoder:
    """The train that fits beside a map from ids to places, where one is needed.

    Raises:
        ValueError: The map alone does not fit.
    """
    most = budget(config, num_nodes)
    places = 0 if reading.stored_in_order else map_bytes(num_nodes)
    if most <= places:
        raise ValueError(
            f"a tensor train over METIS does not fit max_bytes={most}: the map from "
            f"ids to places takes {places} bytes of them; allow more"
        )
    return TensorTrainEmbedding.within(most - places, num_nodes, config.dim)


RIVALS: dict[str, Rival] = {
    "full": Rival(_full),
    "lowrank": Rival(_low_rank),
    "hashing": Rival(_within(HashingEmbedding.within, rows=True)),
    "bloom": Rival(_within(BloomEmbedding.within, rows=True)),
    "hash-embeddings": Rival(_within(MultiHashEmbedding.within, rows=True)),
    "qr-sum": Rival(_quotient_remainder("sum")),
    "qr-product": Rival(_quotient_remainder("product")),
    "qr-concat": Rival(_quotient_remainder("concat")),
    "robe": Rival(_within(ROBEEmbedding.within, block_size=1)),
    "dhe": Rival(_within(DeepHashEmbedding.within)),
    "tensor-train": Rival(_within(TensorTrainEmbedding.within)),
    "tensor-train-metis": Rival(_tensor_train_metis, _metis_order, ordered=True),
    "position": Rival(_position, _position_levels),
    "position-hash": Rival(_position_hash, _position_hash_levels),
    "cce": Rival(_cce),
    "int8": Rival(_full, finish=_rounded(8), kept=_rounded_rows(8)),
    "int4": Rival(_full, finish=_rounded(4), kept=_rounded_rows(4)),
    "int8-training": Rival(_int8),
    "dpq-sx": Rival(_within(dpq_sx, rows=True)),
    "dpq-vq": Rival(_within(dpq_vq, rows=True)),
    "kd-published": Rival(_kd_published("linear")),
    "kd-published-mlp": Rival(_kd_published("mlp")),
    "kd-published-lstm": Rival(_kd_published("lstm")),
    "random-projection": Rival(_random_projection, _projected_codes),
    "pq": Rival(_full, finish=_quantized("pq"), kept=_unfilled("pq")),
    "opq": Rival(_full, finish=_quantized("opq"), kept=_unfilled("opq")),
    "rq": Rival(_full, finish=_quantized("rq"), kept=_unfilled("rq")),
    "deepwalk": Rival(_frozen, _walk_vectors(deepwalk_vectors)),
    "node2vec": Rival(_frozen, _walk_vectors(node2vec_vectors)),
    "correct-and-smooth": Rival(_full, head=correct_and_smooth),
}
