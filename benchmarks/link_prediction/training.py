"""One seed of one method: vectors, two layers on the links, dot products."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.link_prediction.non_edges import NonEdges
from benchmarks.link_prediction.ranking import dots, hits_at, reciprocal_rank
from benchmarks.link_prediction.split import LinkSplit, Queries
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.training.classifier import NodeClassifier, features_for, message_graph
from kdgraph.training.config import TrainConfig
from kdgraph.training.job import Job
from kdgraph.training.methods import build_encoder, build_guidance, training_bytes
from kdgraph.training.networks import build_gnn
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.read_before import ReadBefore
from kdgraph.training.read_graph import read_graph
from kdgraph.training.refinement import Refinement
from kdgraph.training.rivals import RIVALS

CPU = torch.device("cpu")
Score = Callable[[Tensor, Tensor], Tensor]
"""From heads ``[M]`` and tails ``[M]`` or ``[M, n]`` to scores of the same shape as
the tails."""


@dataclass(frozen=True)
class LinkSeed:
    """What one seed gave.

    Args:
        valid_hits: Hits@50 on validation, by which its epoch was chosen.
        test_hits: Of the same epoch on the test links.
        valid_mrr: Mean reciprocal rank of it on validation.
        test_mrr: The same on the test links.
        best_epoch: Which.
        losses: Of every epoch.
        valid_scores: Hits@50 on validation of every epoch.
        seconds: Of all optimisation steps.
        coding_seconds: Of what was read off the training links.
        inference_bytes: Kept.
        inference_bytes_in_order: Kept where the graph is stored in the order that
            implies codes.
        training_bytes: Weights, gradients and Adam state of the encoder.
    """

    valid_hits: float
    test_hits: float
    valid_mrr: float
    test_mrr: float
    best_epoch: int = 0
    losses: tuple[float, ...] = ()
    valid_scores: tuple[float, ...] = ()
    seconds: float = 0.0
    coding_seconds: float = 0.0
    inference_bytes: int = 0
    inference_bytes_in_order: int = 0
    training_bytes: int = 0


def score_hits(queries: Queries, score: Score) -> float:
    """Hits@50 of a part."""
    return hits_at(score(*queries.pairs), score(*queries.negatives))


def score_mrr(queries: Queries, score: Score) -> float:
    """Mean reciprocal rank of a part, each link asked from both of its ends."""
    heads = queries.heads
    return reciprocal_rank(score(heads, queries.tails), score(heads, queries.corrupted))


def train_links(
    config: TrainConfig, split: LinkSplit, seed: int, read: ReadBefore | None = None
) -> LinkSeed:
    """Train one seed; only the training links are read, passed along and learned from.

    Args:
        config: A resolved configuration.
        split: The links.
        seed: Of codes, weights and training negatives.
        read: What was read off the training links before. (default: nothing)

    Raises:
        FloatingPointError: A loss that is not finite.
    """
    job = Job(split.graph, config, None, CPU, read=read or ReadBefore())
    reading, coding_seconds = read_graph(job, seed)
    if reading.rows is not None:
        split, reading = split.permuted(reading.rows), reading.in_order()
    torch.manual_seed(seed)
    encoder = build_encoder(config, split.graph.num_nodes, reading)
    gnn = build_gnn(config, config.hidden_dim or config.dim)
    guides = build_guidance(config, encoder)
    model = NodeClassifier(encoder, gnn, guides, config.input_dropout or 0.0)
    adjacency = message_graph(config.model, split.graph)
    optimizer = Optimizers(config, model)
    refinement = Refinement(model, optimizer)
    unlinked = NonEdges(split.graph.adj)
    best: dict[str, Any] = {}
    best_valid, best_epoch, seconds = -1.0, -1, 0.0
    losses: list[float] = []
    valid_scores: list[float] = []
    for epoch in range(config.epochs or 0):
        begun = time.perf_counter()
        refinement.before_step(epoch, best_valid)
        losses.append(
            _step(model, optimizer, adjacency, split.pairs, unlinked, epoch=epoch)
        )
        encoder.after_epoch(epoch)
        seconds += time.perf_counter() - begun
        valid = score_hits(split.valid, _scoring(model, encoder, adjacency))
        valid_scores.append(valid)
        if valid > best_valid:
            best_valid, best_epoch, best = valid, epoch, _snapshot(model)
        refinement.judge(epoch + 1, best_valid, best)
        if epoch - best_epoch >= (config.patience or math.inf):
            break
    encoder.load_state_dict(best["encoder"])
    gnn.load_state_dict(best["gnn"])
    kept: Encoder = encoder.eval()
    rival = RIVALS.get(config.method)
    if rival is not None and rival.finish is not None:
        kept = rival.finish(config, kept, seed)
    score = _scoring(model, kept, adjacency)
    return LinkSeed(
        valid_hits=score_hits(split.valid, score),
        test_hits=score_hits(split.test, score),
        valid_mrr=score_mrr(split.valid, score),
        test_mrr=score_mrr(split.test, score),
        best_epoch=best_epoch,
        losses=tuple(losses),
        valid_scores=tuple(valid_scores),
        seconds=seconds,
        coding_seconds=coding_seconds,
        inference_bytes=kept.inference_bytes() + reading.map_bytes,
        inference_bytes_in_order=kept.inference_bytes(),
        training_bytes=training_bytes(config, encoder, guides),
    )


def _step(
    model: NodeClassifier,
    optimizer: Optimizers,
    adjacency: Tensor,
    pairs: Tensor,
    unlinked: NonEdges,
    *,
    epoch: int,
) -> float:
    """Learn from all training links and as many negatives, drawn anew."""
    model.train()
    for guide in model.guidance:
        guide.set_progress(epoch)
    optimizer.zero_grad()
    z, penalty = model(adjacency)
    true, false = dots(z, *pairs), dots(z, *unlinked.pairs(pairs.size(1)))
    scores = torch.cat([true, false])
    targets = torch.cat([torch.ones_like(true), torch.zeros_like(false)])
    loss = functional.binary_cross_entropy_with_logits(scores, targets) + penalty
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} in epoch {epoch}; try a smaller lr"
        )
    loss.backward()
    optimizer.step()
    return value


@torch.no_grad()
def _scoring(model: NodeClassifier, encoder: Encoder, adjacency: Tensor) -> Score:
    """The dot products of the network's outputs, as they stand."""
    model.eval()
    z: Tensor = model.gnn(features_for(model.gnn, encoder.eval()), adjacency)
    return lambda heads, tails: dots(z, heads, tails)


def _snapshot(model: NodeClassifier) -> dict[str, Any]:
    """What the best epoch leaves, in the form that refinement goes back to as well."""
    encoder = model.encoder
    kept: dict[str, Any] = {
        "encoder": _copied(encoder.state_dict()),
        "gnn": _copied(model.gnn.state_dict()),
    }
    if isinstance(encoder, KDEmbedding):
        kept["packed"] = encoder.code_table().packed.clone()
        kept["trained"] = _copied(encoder.composer.state_dict())
    return kept


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
