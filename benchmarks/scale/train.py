"""Mini-batches of kdgraph's own trainer, on codes or on a float table."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import SparseAdam

from benchmarks.clock import Clock
from benchmarks.scale.codes import read_codes
from benchmarks.scale.setting import Setting
from benchmarks.scale.sharded import ShardedTable
from kdgraph.codes import CodeTable
from kdgraph.data import Graph
from kdgraph.data.disk import load_disk
from kdgraph.training import NodeClassifier, TrainConfig, Trainer, resolve_config
from kdgraph.training.methods import build_encoder
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss
from kdgraph.training.ranks import Ranks
from kdgraph.training.reading import Reading

METHODS = {"codes": "kd", "table": "full", "sharded": "full"}


class Enough(Exception):  # noqa: N818
    """As many batches as were asked for."""


def build(setting: Setting, folder: Path, kind: str) -> tuple[Trainer, Graph, str]:
    """The trainer as ``kdgraph train`` makes it, of codes that are fixed or a table.

    Args:
        setting: Sizes.
        folder: Where graph and codes lie.
        kind: ``"codes"`` or ``"table"``, which has ``SparseAdam``, or ``"sharded"``, a
            table in parts, of which nodes are not scored between epochs.

    Returns:
        The trainer, the graph and the name of the codes.
    """
    torch.manual_seed(setting.seed)
    graph = load_disk(folder / "graph")
    codes: CodeTable | None = None
    parts: ShardedTable | None = None
    source = kind
    if kind == "codes":
        codes, source = read_codes(setting, folder)
    config = resolve_config(
        TrainConfig(
            method=METHODS[kind],
            coder="fixed",
            codes=f"spectral:{setting.num_codebooks}x{setting.codebook_size}",
            composer="concat",
            guidance="none",
            model="sage",
            dim=setting.channels,
            hidden_dim=setting.channels,
            num_layers=len(setting.num_neighbors),
            dropout=0.5,
            input_dropout=0.0,
            weight_decay=0.0,
            batch_size=min(setting.batch_size, graph.train_idx.numel()),
            fanout=setting.num_neighbors,
            epochs=1000,
            patience=1000,
        ),
        graph,
    )
    ranks = Ranks()
    if kind == "sharded":
        parts = ShardedTable(graph.num_nodes, setting.channels, ranks)
    encoder = parts or build_encoder(config, graph.num_nodes, Reading(codes))
    model = NodeClassifier(encoder, build_gnn(config, graph.num_classes))
    batches = NeighborBatches(
        graph,
        model,
        network=config.model,
        batch_size=config.batch_size or 1,
        fanout=config.fanout or (),
        seed=setting.seed,
        memory=setting.memory,
        ranks=ranks,
    )
    trainer = Trainer(config, graph, model, batches, torch.device("cpu"), ranks)
    if parts is not None:
        trainer.optimizer.each.append(SparseAdam([parts.shard], lr=config.lr))
        batches.scores = _unscored(graph)  # type: ignore[method-assign]
    return trainer, graph, source


def train(
    setting: Setting, folder: Path, clock: Clock, kind: str = "codes"
) -> dict[str, Any]:
    """Train for some batches, and time each of those after the warm-up.

    Drawing is counted, as far as a step waits for it; evaluation between epochs is not.
    Peak memory is that of the whole process, with the pages of the mapped graph that
    were read.
    """
    torch.set_num_threads(setting.threads)
    reset_peak_rss()
    before = peak_rss_bytes()
    begun = time.perf_counter()
    trainer, graph, source = build(setting, folder, kind)
    built = time.perf_counter() - begun
    total, marks, sent = setting.warm_up + setting.batches, [0.0], [0]
    losses: list[float] = []
    seeds = nodes = edges = 0
    draw = trainer.batching.batch

    def counted(epoch: int, step: int) -> Any:
        nonlocal seeds, nodes, edges
        batch = draw(epoch, step)
        blocks = batch.graph if isinstance(batch.graph, list) else []
        if len(marks) > setting.warm_up:
            seeds += batch.labels.numel()
            nodes += blocks[0].n_id.numel()
            edges += sum(block.graph.values().numel() for block in blocks)
        return batch

    def after(trainer: Trainer) -> None:
        now = trainer.progress
        marks.append(now.seconds)
        sent.append(now.sent)
        losses.append(now.loss / now.share if now.share else now.losses[-1])
        clock(min(1.0, now.steps / total), "training")
        if now.steps == total:
            raise Enough

    trainer.batching.batch = counted  # type: ignore[method-assign]
    with contextlib.suppress(Enough):
        trainer.run(after, after)
    taken = [end - start for start, end in itertools.pairwise(marks)]
    taken = taken[setting.warm_up :]
    encoder = trainer.model.encoder
    # Of a table, rows have gradients; its state is twice as large as itself.
    stored = 3 * encoder.inference_bytes()
    if kind == "codes":
        stored = encoder.training_bytes("adam")
    return {
        "encoder": kind,
        "codes": source,
        "seconds_per_1000": 1000 * statistics.mean(taken),
        "median_seconds_per_1000": 1000 * statistics.median(taken),
        "build_seconds": built,
        "seeds_per_batch": seeds / setting.batches,
        "nodes_per_batch": nodes / setting.batches,
        "edges_per_batch": edges / setting.batches,
        "sent_bytes_per_batch": (sent[-1] - sent[setting.warm_up]) / setting.batches,
        "averaged_bytes": _averaged_bytes(trainer),
        "loss": [losses[0], losses[-1]],
        "graph_bytes": _graph_bytes(graph),
        "encoder_training_bytes": stored,
        "encoder_inference_bytes": encoder.inference_bytes(),
        "rss_bytes_before": before,
    }


def infer(setting: Setting, folder: Path, clock: Clock) -> dict[str, Any]:
    """Score all nodes layer by layer, from codes."""
    torch.set_num_threads(setting.threads)
    reset_peak_rss()
    trainer, graph, source = build(setting, folder, "codes")
    clock(0.0, "scoring")
    begun = time.perf_counter()
    valid = trainer.batching.scores(graph.valid_idx)
    some = time.perf_counter() - begun
    begun = time.perf_counter()
    scores = trainer.batching.scores()
    every = time.perf_counter() - begun
    clock(1.0, "scoring")
    if not torch.allclose(scores[graph.valid_idx], valid, rtol=1e-2, atol=1e-2):
        raise ValueError("scores of some nodes differ from those of all")
    return {
        "codes": source,
        "seconds": every,
        "seconds_of_some": some,
        "nodes_of_some": graph.valid_idx.numel(),
        "nodes_per_second": graph.num_nodes / every,
    }


def _unscored(graph: Graph) -> Callable[..., Tensor]:
    """Scores of nothing: processes that score look up rows at different times."""
    return lambda rows: torch.zeros(rows.numel(), graph.num_classes)


def _averaged_bytes(trainer: Trainer) -> int:
    """Of gradients that are dense, and averaged where there are several processes."""
    apart = {id(parameter) for parameter in trainer.optimizer.rows}
    return sum(
        parameter.numel() * parameter.element_size()
        for parameter in trainer.model.parameters()
        if parameter.requires_grad and id(parameter) not in apart
    )


def _graph_bytes(graph: Graph) -> int:
    adj = graph.adj
    arrays = (adj.indptr, adj.indices, graph.y.numpy(), graph.train_idx.numpy())
    return sum(int(array.nbytes) for array in arrays)
