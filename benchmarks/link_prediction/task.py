"""Train a method on the links of a graph: options are those of ``kdgraph train``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.link_prediction.neighbours import score_neighbours
from benchmarks.link_prediction.ranking import HITS
from benchmarks.link_prediction.split import (
    CORRUPTED,
    SPLIT_SEED,
    LinkSplit,
    split_links,
)
from benchmarks.link_prediction.training import CPU, LinkSeed, train_links
from benchmarks.node_classification import task as node_classification
from kdgraph.data import load_graph
from kdgraph.training.auto import Pick, pick
from kdgraph.training.config import TrainConfig
from kdgraph.training.job import Job
from kdgraph.training.peak_memory import peak_rss_bytes
from kdgraph.training.read_before import ReadBefore
from kdgraph.training.read_graph import read_codes
from kdgraph.training.recipes import resolve_config
from kdgraph.training.result import summary

NEIGHBOURS = "adamic-adar"
"""A method that is no encoder: it counts common neighbours."""
WITHOUT_LABELS = ("none", "online")
"""Guidance that asks for no classes and no trained teacher."""


def validate(options: dict[str, Any], dataset: str) -> None:
    """Refuse options that ``kdgraph train`` does not take, or that need labels.

    Raises:
        ValueError: What is wrong, in a sentence.
    """
    if options.get("method") == NEIGHBOURS:
        options = {key: value for key, value in options.items() if key != "method"}
    node_classification.validate(options, dataset)
    config = node_classification.config_of(options, dataset)
    if config.method == "labelprop":
        raise ValueError("method 'labelprop' predicts labels; links have none")
    if config.guidance not in WITHOUT_LABELS:
        raise ValueError(
            f"guidance {config.guidance!r} is not for links; state one of "
            f"{', '.join(WITHOUT_LABELS)}"
        )
    if config.batching not in (None, "full"):
        raise ValueError(f"links are trained in full batch, got {config.batching!r}")


def run(
    options: dict[str, Any], dataset: str, seeds: int, root: Path | None
) -> dict[str, Any]:
    """Train all seeds on the same split, and say what came out."""
    split = split_links(load_graph(dataset, root and str(root)))
    if options.get("method") == NEIGHBOURS:
        found = [score_neighbours(split)] * seeds
        return _result(found, split) | {"method": NEIGHBOURS, "config": options}
    read = ReadBefore()
    config, picked = _resolve(
        node_classification.config_of(options, dataset), split, read
    )
    found = [train_links(config, split, seed, read) for seed in range(seeds)]
    full = split.graph.num_nodes * config.dim * 4
    return _result(found, split) | {
        "method": config.method,
        "config": config.as_dict(),
        "auto": picked and picked.as_dict(),
        "full_bytes": full,
        "compression_ratio": full / found[0].inference_bytes,
        "full_training_bytes": 4 * full,
        "peak_rss_bytes": peak_rss_bytes(),
        "curves": [
            {
                "seed": seed,
                "best_epoch": one.best_epoch,
                "losses": one.losses,
                "valid_scores": one.valid_scores,
            }
            for seed, one in enumerate(found)
        ],
    }


def _resolve(
    config: TrainConfig, split: LinkSplit, read: ReadBefore
) -> tuple[TrainConfig, Pick | None]:
    """What is open by the recipe, and what auto picks by validation links.

    A node with a training link counts as one with a label: how many there are decides
    between the recipes, and which codes auto tries.
    """
    if config.method != "kd" or config.coder != "auto":
        return resolve_config(config, split.graph), None

    def train(config: TrainConfig, seed: int) -> float:
        return train_links(config, split, seed, read).valid_hits

    def read_once(config: TrainConfig) -> None:
        read_codes(Job(split.graph, config, None, CPU, read=read), 0)

    picked = pick(config, split.graph, train, read_once)
    return picked.config, picked


def _result(found: Sequence[LinkSeed], split: LinkSplit) -> dict[str, Any]:
    """What every method says."""
    steps = sum(len(one.losses) for one in found)
    return {
        "dataset": split.graph.name,
        "num_nodes": split.graph.num_nodes,
        "split": {
            "seed": SPLIT_SEED,
            "training_links": split.pairs.size(1),
            "validation_links": split.valid.pairs.size(1),
            "test_links": split.test.pairs.size(1),
            "negatives_per_link": 1,
            "corrupted_per_query": CORRUPTED,
        },
        "metric": f"Hits@{HITS}",
        "test_score": summary([one.test_hits for one in found]),
        "valid_score": summary([one.valid_hits for one in found]),
        "mrr": summary([one.test_mrr for one in found]),
        "valid_mrr": summary([one.valid_mrr for one in found]),
        "inference_bytes": found[0].inference_bytes,
        "inference_bytes_in_order": found[0].inference_bytes_in_order,
        "training_bytes": found[0].training_bytes,
        "seconds_per_epoch": sum(one.seconds for one in found) / max(1, steps),
        "coding_seconds": statistics.fmean(one.coding_seconds for one in found),
    }
