"""load_classifier: what a file must hold, and what it may not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.artifact import read_artifact
from kdgraph.data import Graph
from kdgraph.training import Runner, TrainConfig, load_classifier, message_graph
from kdgraph.training.metric import METRICS, Metric
from kdgraph.training.metrics import accuracy, micro_f1

MakeConfig = Callable[..., TrainConfig]


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
@pytest.mark.parametrize("norm", ["none", "batch_norm"])
def test_best_epoch_comes_back(
    graph: Graph, make_config: MakeConfig, tmp_path: Path, model: str, norm: str
) -> None:
    config = make_config(model=model, norm=norm, epochs=12, lr=0.1, coder="gumbel")
    result = Runner(graph, config, save=tmp_path).run(2)
    for seed in result.seeds:
        encoder, gnn = load_classifier(tmp_path / f"seed-{seed.seed}.kdg.safetensors")
        logits = gnn(encoder(), message_graph(model, graph))
        for part, idx in (("test", graph.test_idx), ("valid", graph.valid_idx)):
            found = accuracy(logits[idx], graph.y[idx])
            assert found == getattr(seed, f"{part}_score")


@pytest.mark.parametrize("metric", METRICS[1:])
def test_several_labels_are_predicted_as_they_were_scored(
    make_graph: Callable[..., Graph], tmp_path: Path, metric: str
) -> None:
    truth = make_graph().y
    noise = torch.rand(40, 3, generator=torch.Generator().manual_seed(2)) < 0.2
    y = torch.stack([truth, 1 - truth, truth], dim=1).ne(noise.long()).float()
    graph = make_graph(y=y, num_classes=3)
    config = TrainConfig(dim=8, metric=metric, epochs=12, hidden_dim=8)
    result = Runner(graph, config, save=tmp_path).run(1)
    assert (result.config.model, result.config.jk) == ("sage", "cat")
    path = tmp_path / "seed-0.kdg.safetensors"
    encoder, gnn = load_classifier(path, graph)
    metadata = read_artifact(path).metadata
    logits = gnn(encoder(), message_graph(result.config.model, graph))
    scored = Metric(metadata["metric"], metadata["threshold"])
    assert scored.name == metric
    for part, idx in (("test", graph.test_idx), ("valid", graph.valid_idx)):
        found = scored(scored.scores(logits[idx]), graph.y[idx])
        assert found == getattr(result.seeds[0], f"{part}_score")
    said = result.as_dict()
    assert (said["metric"], said["config"]["metric"]) == (metric, metric)
    if metric != "micro-f1":
        assert said["threshold"] is None
        return
    assert said["threshold"] == [metadata["threshold"]]
    idx = graph.test_idx
    predicted = logits[idx].sigmoid() > metadata["threshold"]
    assert micro_f1(predicted, graph.y[idx]) == said["test_score"]["mean"]


@pytest.fixture
def saved(graph: Graph, make_config: MakeConfig, tmp_path: Path) -> Any:
    """A function that writes an artifact again with other metadata."""
    Runner(graph, make_config(), save=tmp_path / "run").run(1)
    artifact = read_artifact(tmp_path / "run" / "seed-0.kdg.safetensors")
    encoder, _ = load_classifier(artifact.path)

    def save(config: Any = None, **metadata: Any) -> Path:
        changed = artifact.metadata | metadata
        if config is not None:
            changed["config"] = changed["config"] | config
        path = tmp_path / "changed.safetensors"
        encoder.save(path, gnn=artifact.gnn, metadata=changed)
        return path

    return save


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_dim": 10**9},
        {"hidden_dim": 10**18},
        {"hidden_dim": "wide"},
        {"hidden_dim": None},
        {"num_layers": 3},
        {"model": "gin"},
        {"model": "__import__"},
        {"norm": "no such norm"},
    ],
    ids=str,
)
def test_network_that_does_not_fit_its_weights(saved: Any, config: Any) -> None:
    with pytest.raises(ValueError, match="network that cannot be rebuilt") as caught:
        load_classifier(saved(config))
    assert "\n" not in str(caught.value)


def test_files_of_other_versions(saved: Any) -> None:
    wanted, network = load_classifier(saved())
    with pytest.warns(UserWarning, match="TrainConfig .* ignores: surprise$"):
        encoder, gnn = load_classifier(saved({"surprise": 1}))
    assert torch.equal(encoder(), wanted())
    assert str(gnn) == str(network)


@pytest.mark.parametrize(
    "metadata", [{"num_classes": 3}, {"num_classes": "two"}], ids=str
)
def test_number_of_classes_that_does_not_fit(saved: Any, metadata: Any) -> None:
    with pytest.raises(ValueError, match="network that cannot be rebuilt"):
        load_classifier(saved(**metadata))


def test_encoder_alone_is_no_classifier(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    KDEmbedding(9, 8, num_codebooks=4, codebook_size=3).export().save(path)
    with pytest.raises(ValueError, match=r"read it with PackedEmbedding\.load"):
        load_classifier(path)


def test_weights_may_go_on_training(saved: Any) -> None:
    _, gnn = load_classifier(saved())
    gnn.requires_grad_(True)
    assert all(isinstance(p, torch.nn.Parameter) for p in gnn.parameters())
