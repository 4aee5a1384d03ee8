"""Train, save, load, export, load, predict: the reported score, in the graph's ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from kdgraph import PackedEmbedding
from kdgraph.artifact import read_artifact
from kdgraph.data import Graph, build_adjacency, sbm
from kdgraph.training import Runner, TrainConfig, load_classifier, message_graph
from kdgraph.training.metric import Metric

Kdgraph = Callable[..., Any]

N = 60
ORDERED = ("order:3x3+spectral:2x4", "order:2x2", "place:4x4x4", "place:8x8+hash:1x4")
RECIPES = (
    *ORDERED,
    "tree:3x3",
    "levels:2x3",
    "digits:3x2",
    "spectral:2x8",
    "hash:2x8",
    "projection:2x4",
    "random:2x8",
)
COMPOSERS = ("sum", "concat", "mlp", "recurrent", "ring")
NETWORKS = ("gcn", "sage", "gat", "gin")


def graphs() -> dict[str, Graph]:
    """Small ones, of every kind."""
    single = sbm(num_nodes=N, num_classes=3, mean_degree=6, seed=0)
    torch.manual_seed(0)
    many = (torch.rand(N, 4) < 0.4).float()
    alone = single.adj.tolil()
    alone[:9] = 0
    alone[:, :9] = 0
    isolated = sparse.csr_array(alone, dtype=np.float32)
    isolated.eliminate_zeros()
    coo = single.adj.tocoo()
    kept = np.flatnonzero(np.arange(coo.nnz) % 3 > 0)
    edges = np.stack([coo.col[kept], coo.row[kept]])
    one_way = build_adjacency(edges, N, directed=True)
    return {
        "single": single,
        "multi": dataclasses.replace(single, y=many, num_classes=4),
        "isolated": dataclasses.replace(single, adj=isolated),
        "directed": dataclasses.replace(single, adj=one_way, directed=True),
    }


GRAPHS = graphs()


def options_of(codes: str | None, composer: str) -> dict[str, Any] | None:
    """What else a configuration needs; ``None`` for codes that it does not take."""
    if codes is not None and codes[:4] in ("tree", "orde"):
        return None if composer not in ("sum", "concat") else {}
    return {"rank": 3} if composer == "ring" else {}


def cases() -> list[tuple[str, ...]]:
    """All pairs that fit of recipe and composer, coder and network, network and graph.

    What a pair leaves open turns, so that each meets most of the others.
    """
    found: dict[tuple[str, ...], None] = {}

    def add(coder: str, codes: str | None, composer: str) -> None:
        turn = len(found)
        network, kind = NETWORKS[turn % 4], list(GRAPHS)[turn // 4 % 4]
        found[coder, codes or "", composer, network, kind] = None

    for codes in RECIPES:
        for composer in COMPOSERS:
            if options_of(codes, composer) is not None:
                add("fixed", codes, composer)
    for codes in ("order:3x3+spectral:2x4", "place:8x8+hash:1x4", "spectral:2x8"):
        add("refined", codes, "sum")
    for coder in ("softmax", "gumbel", "vq", "threshold"):
        for composer in COMPOSERS:
            add(coder, None, composer)
    for network in NETWORKS:
        for number, kind in enumerate(GRAPHS):
            codes = ORDERED[number % len(ORDERED)]
            found["fixed", codes, "concat", network, kind] = None
    return list(found)


def predict(path: Path, graph: Graph, model: str) -> Tensor:
    encoder, gnn = load_classifier(path, graph)
    with torch.no_grad():
        scores: Tensor = gnn(encoder(), message_graph(model, graph))
    return scores


@pytest.mark.parametrize("case", cases(), ids="-".join)
def test_what_is_saved_gives_the_reported_score(
    case: tuple[str, ...], kdgraph: Kdgraph, tmp_path: Path
) -> None:
    coder, codes, composer, model, kind = case
    graph, run, file = GRAPHS[kind], tmp_path / "run", tmp_path / "m.safetensors"
    options = options_of(codes or None, composer) or {}
    if not codes:
        options |= {"num_codebooks": 4, "codebook_size": 2 if coder[0] == "t" else 3}
    config = TrainConfig(
        coder=coder,
        codes=codes or None,
        composer=composer,
        model=model,
        guidance="none",
        dim=12,
        hidden_dim=8,
        epochs=3,
        **options,
    )
    result = Runner(graph, config, save=run).run(seeds=1)
    saved = run / "seed-0.kdg.safetensors"
    assert kdgraph("export", run, "-o", file).status == 0
    scores = predict(saved, graph, model)
    assert torch.equal(predict(file, graph, model), scores)
    artifact = read_artifact(file)
    metric = Metric(artifact.metadata["metric"], artifact.metadata["threshold"])
    for part, reported in (
        (graph.test_idx, result.test_scores[0]),
        (graph.valid_idx, result.valid_scores[0]),
    ):
        assert metric(metric.scores(scores[part]), graph.y[part]) == reported
    assert artifact.inference_bytes == result.inference_bytes
    # 60 nodes of 6 bits.
    ordered = codes in ORDERED
    assert artifact.map_bytes == 45 * ordered
    assert result.inference_bytes - 45 * ordered == result.inference_bytes_in_order
    if not ordered:
        return
    # Without the map the file fits the graph in that order, and no other.
    assert kdgraph("export", run, "-o", file, "--rows").status == 0
    prefix = PackedEmbedding.load(saved).prefix
    assert prefix is not None
    order = prefix.order()
    moved = predict(file, graph.permuted(order), model)
    torch.testing.assert_close(moved, scores[order], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="in another order"):
        load_classifier(file, graph)
    assert read_artifact(file).inference_bytes == result.inference_bytes_in_order
