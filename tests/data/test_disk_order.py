"""Graphs on disk in the order of a partition: the same graph, and codes for nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph.codes import CodeRecipe, partition_graph
from kdgraph.data import (
    Graph,
    load_graph,
    open_order,
    prepare_graph,
    sbm,
    verify_graph,
)
from kdgraph.data.disk import load_disk
from kdgraph.training import Runner, TrainConfig, load_classifier, message_graph
from kdgraph.training.choices import auto_choices
from kdgraph.training.metrics import accuracy

GRAPH = sbm(num_nodes=300, num_classes=3, seed=0)


def save(path: Path, graph: Graph, **more: Any) -> Path:
    coo = graph.adj.tocoo()
    splits = {
        key: getattr(graph, key).numpy()
        for key in ("y", "train_idx", "valid_idx", "test_idx")
    }
    edges = np.stack([coo.col, coo.row])
    np.savez(path, edge_index=edges, num_nodes=graph.num_nodes, **splits, **more)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("order")
    prepare_graph(save(place / "g.npz", GRAPH), place / "g", order="tree:4x4")
    return place / "g"


@pytest.mark.parametrize("kind", ["single", "multi", "directed", "weighted"])
def test_the_same_graph_in_the_order_of_its_clusters(tmp_path: Path, kind: str) -> None:
    graph = GRAPH
    if kind == "multi":
        y = (torch.rand(300, 3) < 0.5).float()
        graph = dataclasses.replace(graph, y=y, num_classes=3)
    more = {"edge_weight": torch.rand(graph.num_edges).numpy()}
    path = save(tmp_path / "g.npz", graph, **(more if kind == "weighted" else {}))
    directed = kind == "directed"
    done = prepare_graph(
        path, tmp_path / "g", directed=directed, order="tree:4x4", memory=1 << 12
    )
    verify_graph(tmp_path / "g")
    plain = prepare_graph(path, tmp_path / "plain", directed=directed)
    assert (done.edges_read, done.repeated) == (plain.edges_read, plain.repeated)
    assert done.meta.directed == directed
    given = load_graph(path, directed=directed)
    partition = partition_graph(given.adj, (4, 4))
    found = load_disk(tmp_path / "g")
    wanted = given.permuted(partition.order)
    # The splits are sorted where they are read from a folder.
    assert found.order_checksum() == wanted.order_checksum()
    assert np.array_equal(found.adj.data, wanted.adj.data)
    assert torch.equal(found.y, wanted.y)
    for key in ("train_idx", "valid_idx", "test_idx"):
        assert set(getattr(found, key).tolist()) == set(getattr(wanted, key).tolist())
    assert found.num_classes == given.num_classes
    order = open_order(tmp_path / "g")
    assert order is not None
    assert str(order) == done.meta.order == "tree:4x4"
    assert np.array_equal(order.original_ids, partition.order)
    assert np.array_equal(order.boundaries, partition.boundaries)
    assert any("stored in the order tree:4x4" in note for note in found.notes)
    assert open_order(tmp_path / "plain") is None
    assert {one.name for one in tmp_path.iterdir()} == {"g", "g.npz", "plain"}


def test_codes_of_a_stored_order_need_no_map(folder: Path) -> None:
    graph = load_graph(folder)
    order = graph.stored_order
    assert order is not None
    recipe = CodeRecipe.parse("order:4x4+hash:2x4")
    built = recipe.build(graph.adj, seed=7, boundaries=order.boundaries)
    assert built.rows is None
    assert built.codes.nbytes == recipe.stored_bytes(300, in_order=True)
    leaves = np.searchsorted(order.boundaries, np.arange(300), side="right") - 1
    assert built.codes.codes()[:, 0].tolist() == leaves.tolist()
    assert order.boundaries_of((4,)).tolist() == order.boundaries[::4].tolist()
    assert order.boundaries_of((2, 8)) is None
    assert graph.permuted(np.arange(300)[::-1]).stored_order is None


@pytest.mark.parametrize(
    ("codes", "composer", "needs_map"),
    [
        ("order:4x4+spectral:2x8", "sum", False),
        ("order:4", "sum", False),
        ("place:7x7x7", "ring", False),
        ("order:3x3", "sum", True),
    ],
)
def test_training_on_a_stored_order(
    folder: Path, tmp_path: Path, codes: str, composer: str, needs_map: bool
) -> None:
    graph, run = load_graph(folder), tmp_path / "run"
    config = TrainConfig(
        coder="fixed",
        codes=codes,
        composer=composer,
        guidance="none",
        dim=8,
        hidden_dim=8,
        epochs=3,
    )
    result = Runner(graph, config, save=run).run(seeds=2)
    # 300 nodes of 9 bits, where the order is another.
    more = result.inference_bytes - result.inference_bytes_in_order
    assert more == 338 * needs_map
    for seed in range(2):
        encoder, gnn = load_classifier(run / f"seed-{seed}.kdg.safetensors", graph)
        assert encoder.inference_bytes() == result.inference_bytes
        scores = gnn(encoder(), message_graph("gcn", graph))[graph.test_idx]
        assert accuracy(scores, graph.y[graph.test_idx]) == result.test_scores[seed]


def test_a_tensor_train_over_a_stored_order(folder: Path) -> None:
    found = []
    for graph in (load_graph(folder), GRAPH):
        config = TrainConfig(
            method="tensor-train-metis", dim=16, compression=4, epochs=2
        )
        found.append(Runner(graph, config).run(seeds=1))
    stored, mapped = found
    assert stored.inference_bytes == stored.inference_bytes_in_order
    assert mapped.inference_bytes == mapped.inference_bytes_in_order + 338
    assert all(one.inference_bytes <= 4 * 300 * 16 / 4 for one in found)


def test_auto_takes_the_order_that_is_there(folder: Path) -> None:
    graph = load_graph(folder)
    config = TrainConfig(coder="auto", compression=30)
    stored, other = (auto_choices(config, one)[0] for one in (graph, GRAPH))
    assert any("order:4x4" in (one.config.codes or "") for one in stored)
    assert not any("order" in (one.config.codes or "") for one in other)
    for choice in stored:
        result = Runner(graph, choice.config.replace(epochs=1, guidance="none"))
        found = result.run(seeds=1)
        assert found.inference_bytes == found.inference_bytes_in_order
        if choice.config.guidance in (None, "none", "diffusion"):
            assert choice.bytes == found.inference_bytes


@pytest.mark.parametrize(
    "order", ["tree", "tree:1x4", "place:4x4", "tree:4x4+hash:1x4"]
)
def test_orders_refused(tmp_path: Path, order: str) -> None:
    path = save(tmp_path / "g.npz", GRAPH)
    with pytest.raises(ValueError, match="such as 'tree:16x16', got"):
        prepare_graph(path, tmp_path / "g", order=order)
    with pytest.raises(ValueError, match="400 clusters"):
        prepare_graph(path, tmp_path / "g", order="tree:20x20")
    assert {one.name for one in tmp_path.iterdir()} == {"g.npz"}


def test_an_order_replaces_only_what_it_may(folder: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "g.npz", GRAPH)
    prepare_graph(path, tmp_path / "g")
    with pytest.raises(ValueError, match="is there already"):
        prepare_graph(path, tmp_path / "g", order="tree:4x4")
    assert open_order(tmp_path / "g") is None
    prepare_graph(path, tmp_path / "g", order="tree:4x4", force=True)
    assert open_order(tmp_path / "g") is not None
    (tmp_path / "g" / "original_ids.npy").unlink()
    with pytest.raises(ValueError, match=r"original_ids.npy missing"):
        load_graph(tmp_path / "g")
