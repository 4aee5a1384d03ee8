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
from kdgraph.training.metrics import accuracy

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
