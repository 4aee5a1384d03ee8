"""From training to a file, and from the file back to the score."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
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
from kdgraph.training.metric import Metric
from kdgraph.training.metrics import accuracy

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
        found = accuracy(logits[idx], graph.y[idx])
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
    logits = gnn(encoder(), message_graph("sage", graph))
    said = strict_json(tmp_path / "out.json")
    metric = Metric(said["metric"], said["threshold"][0])
    scores = metric.scores(logits[graph.test_idx])
    assert metric(scores, graph.y[graph.test_idx]) == said["test_score"]["mean"]


def test_a_model_that_is_gone_says_how_to_get_it_again(
    kdgraph: Kdgraph, trained: Path, tmp_path: Path
) -> None:
    (trained / "seed-0.kdg.safetensors").unlink()
    done = kdgraph("export", trained, "--seed", 0, "-o", tmp_path / "model")
    assert done.status == 2
    assert f"remove {trained / 'seed-0.json'} and repeat" in done.sentence


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


def test_files_take_the_ids_of_the_graph_or_places(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path
) -> None:
    run, codes = tmp_path / "run", "order:2x2+spectral:2x4"
    arguments = ["train", "--dataset", npz, "--epochs", 2, "--dim", 8, "--quiet"]
    done = kdgraph(*arguments, "--codes", codes, "--save", run)
    assert done.status == 0, done.err
    files = [tmp_path / f"{name}.kdg.safetensors" for name in ("ids", "alias", "rows")]
    for path, options in zip(files, ([], ["--original-ids"], ["--rows"]), strict=True):
        done = kdgraph("export", run, "-o", path, *options)
        assert done.status == 0, done.err
        assert ("the map from ids to places" in done.out) is (options != ["--rows"])
        assert ("note: its ids are places" in done.out) is (options == ["--rows"])
        assert ("warning: --original-ids" in done.err) is (
            options == ["--original-ids"]
        )
    assert files[0].read_bytes() == files[1].read_bytes()
    nodes, rows = (PackedEmbedding.load(path) for path in (files[0], files[2]))
    assert nodes.prefix is not None
    order = nodes.prefix.order()
    assert not torch.equal(order, torch.arange(len(order)))
    assert torch.equal(nodes(order), rows())
    # 40 nodes of 6 bits.
    assert nodes.inference_bytes() == rows.inference_bytes() + 30

    graph = load_graph(npz)
    score_of = read_artifact(files[0]).metadata["test_score"]
    for path, own in ((files[0], graph), (files[2], graph.permuted(order.numpy()))):
        encoder, gnn = load_classifier(path, own)
        logits = gnn(encoder(), message_graph("gcn", own))
        assert accuracy(logits[own.test_idx], own.y[own.test_idx]) == score_of
        other = own.permuted(torch.arange(40).roll(1))
        with pytest.raises(ValueError, match="another graph .* in another order"):
            load_classifier(path, other)
    done = kdgraph("inspect", files[0])
    assert "those of the graph, by a map to places" in done.out
    assert "6 bits a node" in done.out
    assert "map of ids" in done.out
    assert "places in the order that implies codes" in kdgraph("inspect", files[2]).out


def test_rows_are_of_an_order(
    kdgraph: Kdgraph, trained: Path, npz: Path, tmp_path: Path
) -> None:
    done = kdgraph("export", trained, "-o", tmp_path / "out", "--rows")
    assert done.status == 2
    assert "no map to leave out: no order of the nodes implies" in done.sentence
    assert not (tmp_path / "out").exists()


def test_a_run_of_an_older_version(kdgraph: Kdgraph, npz: Path, tmp_path: Path) -> None:
    """Its model is in the order of a file beside it, and its bytes lack the map."""
    run, codes = tmp_path / "run", "order:2x2+spectral:2x4"
    arguments = ["train", "--dataset", npz, "--epochs", 2, "--dim", 8, "--quiet"]
    arguments += ["--codes", codes, "--save", run, "--json", tmp_path / "out.json"]
    assert kdgraph(*arguments).status == 0
    said = json.loads((tmp_path / "out.json").read_text())
    path, result = run / "seed-0.kdg.safetensors", run / "seed-0.json"
    new = PackedEmbedding.load(path)
    artifact = read_artifact(path)
    assert new.prefix is not None
    order = new.prefix.order()
    old = PackedEmbedding(new.code_table().reordered(order), new.composer)
    metadata = {
        key: value for key, value in artifact.metadata.items() if "order" not in key
    }
    old.save(path, gnn=artifact.gnn, metadata=metadata | {"graph_fingerprint": "0"})
    as_version_1(path)
    np.save(run / "seed-0.order.npy", order.numpy())
    found = json.loads(result.read_text())
    found["inference_bytes"] = found.pop("inference_bytes_in_order")
    result.write_text(json.dumps(found))

    with pytest.warns(UserWarning, match="does not hold the map"):
        load_classifier(path)
    assert "does not hold the map" in kdgraph("inspect", path).out
    file = tmp_path / "again.kdg.safetensors"
    assert kdgraph("export", run, "-o", file).status == 0
    graph = load_graph(npz)
    encoder, gnn = load_classifier(file, graph)
    assert torch.equal(encoder(), new())
    logits = gnn(encoder(), message_graph("gcn", graph))
    found = accuracy(logits[graph.test_idx], graph.y[graph.test_idx])
    assert found == said["test_score"]["mean"]
    # The same command has nothing to train, and counts what it counts now.
    assert kdgraph(*arguments).status == 0
    again = json.loads((tmp_path / "out.json").read_text())
    for key in ("inference_bytes", "inference_bytes_in_order", "compression_ratio"):
        assert again[key] == said[key]


def as_version_1(path: Path) -> None:
    """Rewrite a file without a map as versions before maps wrote it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header["__metadata__"] |= {"format_version": "1", "sha256": "0" * 64}
    text = json.dumps(header, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    start, stop = header["codes"]["data_offsets"]
    front = struct.pack("<Q", len(text)) + text.encode()
    digest = hashlib.sha256(front + data[:start] + data[stop:]).hexdigest()
    path.write_bytes(front.replace(b"0" * 64, digest.encode()) + data)
