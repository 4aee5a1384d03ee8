"""Train a method with codes, and ask its codes: options are ``kdgraph train``'s."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.code_meaning.measure import (
    MAP_CHOICES,
    codeword_map,
    majority,
    purity_by_distance,
    shuffled_majority,
    usage,
)
from benchmarks.node_classification import task as node_classification
from kdgraph.data import Graph, load_graph
from kdgraph.packed import PackedEmbedding
from kdgraph.training import Runner
from kdgraph.training.run_dir import artifact_path


def validate(options: dict[str, Any], dataset: str) -> None:
    """Refuse options that ``kdgraph train`` does not take, or that give no codes.

    Raises:
        ValueError: What is wrong, in a sentence.
    """
    node_classification.validate(options, dataset)
    method = node_classification.config_of(options, dataset).method
    if method != "kd":
        raise ValueError(f"method {method!r} has no codes to ask; use method 'kd'")


def run(
    options: dict[str, Any], dataset: str, seeds: int, root: Path | None
) -> dict[str, Any]:
    """Train all seeds, and measure the codes of the first.

    Raises:
        ValueError: A graph with several labels per node.
    """
    graph = load_graph(dataset, root and str(root))
    if graph.multi_label:
        raise ValueError(
            f"{dataset} has several labels per node, and classes of pairs are compared"
        )
    config = node_classification.config_of(options, dataset)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        result = Runner(graph, config, save=place).run(seeds).as_dict()
        encoder = PackedEmbedding.load(artifact_path(place, 0))
    return result | {"codes": measure(encoder, graph)}


def measure(encoder: PackedEmbedding, graph: Graph) -> dict[str, Any]:
    """All that is asked of the codes of a trained encoder.

    Classes are only looked at of nodes that were not trained on. Pairs are of those
    that say something: nodes that no gradient reached have the null code in every
    position, all of them the same, and are counted apart.

    Args:
        encoder: With codes by the ids of the graph.
        graph: Its graph.
    """
    codes = encoder.codes()
    sizes = encoder.codebook_sizes
    known = _unseen(graph)
    y = graph.y[known]
    held = codes[known]
    share, chance = majority(held, sizes, y), shuffled_majority(held, sizes, y)
    null = (codes == 0).all(dim=1) & bool(encoder.composer.config.get("null_code"))
    says = ~null[known]
    found = {
        "usage": usage(codes, sizes),
        "null_nodes": int(null.sum()),
        "purity": purity_by_distance(held[says], y[says]),
        "majority": share,
        "shuffled_majority": chance,
        "num_classes": graph.num_classes,
        "class_counts": torch.bincount(graph.y[graph.y >= 0]).tolist(),
    }
    above = [
        share[position] - chance[position] if size >= MAP_CHOICES else -1.0
        for position, size in enumerate(sizes)
    ]
    position = max(range(len(sizes)), key=above.__getitem__)
    if sizes[position] < MAP_CHOICES:
        return found | {"map": None}
    start = sum(sizes[:position])
    codewords = encoder.composer.codebooks.dequantized()
    codewords = codewords[start : start + sizes[position]]
    drawn = codeword_map(codewords, codes[:, position], known, y)
    return found | {"map": {"position": position} | drawn}


def _unseen(graph: Graph) -> Tensor:
    """Nodes with a class that were not trained on."""
    open_ = graph.y >= 0
    open_[graph.train_idx] = False
    return open_.nonzero().squeeze(1)
