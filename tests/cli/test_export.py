"""From training to a file, and from the file back to the score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph import PackedEmbedding
from kdgraph.artifact import read_artifact
from kdgraph.data import load_graph
from kdgraph.training import NodeClassifier, load_classifier, message_graph
from kdgraph.training.metrics import score

Kdgraph = Callable[..., Any]


@pytest.fixture
def trained(kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path) -> Path:
    """A run folder of three seeds."""
    arguments = ["--dataset", npz, *tiny, "--epochs", 20, "--seeds", 3, "--quiet"]
    done = kdgraph("train", *arguments, "--save", tmp_path / "run")
    assert done.status == 0, done.err
    return tmp_path / "run"


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
@pytest.mark.parametrize("composer", ["concat", "recurrent", "ring"])
def test_artifact_alone_gives_the_recorded_score(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    tmp_path: Path,
    strict_json: Any,
    model: str,
    composer: str,
) -> None:
    run, out, file = tmp_path / "run", tmp_path / "out.json", tmp_path / "m.safetensors"
    arguments = ["--dataset", npz, *tiny, "--epochs", 12, "--model", model, "--quiet"]
    arguments += ["--composer", composer, "--save", run, "--json", out]
    assert kdgraph("train", *arguments).status == 0
    assert kdgraph("export", run, "-o", file).status == 0
    shutil.rmtree(run)

    recorded = strict_json(out)
    graph = load_graph(npz)
    encoder, gnn = load_classifier(file)
    assert torch.equal(PackedEmbedding.load(file)(), encoder())
    assert encoder.inference_bytes() == recorded["inference_bytes"]
    logits, _ = NodeClassifier(encoder, gnn)(message_graph(model, graph))
    for part, idx in (("test", graph.test_idx), ("valid", graph.valid_idx)):
        found = score(logits[idx], graph.y[idx])
        assert found == recorded[f"{part}_score"]["mean"]
        assert found == read_artifact(file).metadata[f"{part}_score"]
    assert not any(p.requires_grad for p in [*encoder.parameters(), *gnn.parameters()])
    assert not encoder.training
    assert not gnn.training


def test_many_labels_give_their_score_again(
    kdgraph: Kdgraph, tiny: Any, tmp_path: Path, save_graph: Any, strict_json: Any
) -> None:
    y = (torch.arange(40)[:, None] % torch.arange(2, 6) == 0).long().numpy()
    npz, run = save_graph(tmp_path / "labels.npz", y=y), tmp_path / "run"
    arguments = ["--dataset", npz, *tiny, "--epochs", 30, "--quiet", "--save", run]
    assert kdgraph("train", *arguments, "--json", tmp_path / "out.json").status == 0
    encoder, gnn = load_classifier(run / "seed-0.kdg.safetensors")
    graph = load_graph(npz)
    logits = gnn(encoder(), message_graph("gcn", graph))
    found = score(logits[graph.test_idx], graph.y[graph.test_idx])
    assert found == strict_json(tmp_path / "out.json")["test_score"]["mean"]


def test_best_seed_on_validation_is_exported(
    kdgraph: Kdgraph, trained: Path, tmp_path: Path
) -> None:
    for seed, valid in enumerate((0.5, 0.75, 0.25)):
        path = trained / f"seed-{seed}.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"valid_score": valid})
        )
    file = tmp_path / "best.kdg.safetensors"
    done = kdgraph("export", trained, "-o", file)
    assert done.status == 0
    assert "seed 1" in done.out
    assert read_artifact(file).metadata["seed"] == 1
    assert kdgraph("export", trained, "-o", file, "--seed", 2).status == 0
    assert read_artifact(file).metadata["seed"] == 2
    done = kdgraph("export", trained, "-o", file, "--seed", 3)
    assert done.status == 2
    assert "no finished seed 3; it has [0, 1, 2]" in done.sentence


def test_what_cannot_be_exported(
    kdgraph: Kdgraph, npz: Path, tiny: Any, trained: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.safetensors"

    def refused(folder: Path, target: Path = file) -> str:
        done = kdgraph("export", folder, "-o", target)
        assert done.status == 2
        assert not file.exists()
        return str(done.sentence)

    assert "holds no run" in refused(tmp_path / "nowhere")
    assert "holds no run" in refused(tmp_path)
    assert "holds no run" in refused(npz)
    assert "does not exist; create it first" in refused(trained, tmp_path / "no" / "x")
    assert "it is a folder" in refused(trained, tmp_path)
    table = tmp_path / "table"
    arguments = ["--dataset", npz, *tiny, "--quiet", "--method", "full"]
    assert kdgraph("train", *arguments, "--save", table).status == 0
    assert "method 'full', which has no codes" in refused(table)
    for seed in (0, 2):
        (trained / f"seed-{seed}.json").unlink()
    artifact = trained / "seed-1.kdg.safetensors"
    content = artifact.read_bytes()
    artifact.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "checksum" in refused(trained)
    artifact.unlink()
    assert str(artifact) in refused(trained)
    (trained / "seed-1.json").unlink()
    assert "no finished seed yet" in refused(trained)


def test_older_file_survives_a_refusal(
    kdgraph: Kdgraph, trained: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_text("precious")
    (trained / "seed-0.json").write_text("{")
    assert kdgraph("export", trained, "-o", file).status == 2
    assert file.read_text() == "precious"
    assert {p.name for p in tmp_path.iterdir()} == {
        "model.safetensors",
        "run",
        "rings.npz",
    }


def test_stored_order_and_original_ids(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path
) -> None:
    run, codes = tmp_path / "run", "order:2x2+spectral:2x4"
    arguments = ["train", "--dataset", npz, "--epochs", 2, "--dim", 8, "--quiet"]
    done = kdgraph(*arguments, "--codes", codes, "--save", run)
    assert done.status == 0, done.err
    files = {flag: tmp_path / f"{flag}.kdg.safetensors" for flag in (False, True)}
    for flag, path in files.items():
        options = ["--original-ids"] if flag else []
        done = kdgraph("export", run, "-o", path, *options)
        assert done.status == 0, done.err
        assert ("note: its ids are rows" in done.out) is not flag
    rows, nodes = (PackedEmbedding.load(files[flag]) for flag in (False, True))
    order = torch.from_numpy(np.load(run / "seed-0.order.npy"))
    assert not torch.equal(order, torch.arange(len(order)))
    assert torch.equal(nodes(order), rows())
    assert nodes.inference_bytes() == rows.inference_bytes() + 4 * len(order)
