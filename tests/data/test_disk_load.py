from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.loader import NodeLoader

from kdgraph.data import (
    Graph,
    NeighborSampler,
    gcn_norm,
    homophily,
    load_graph,
    open_csr,
    prepare_graph,
    sbm,
    to_edge_index,
    to_torch_csr,
    verify_graph,
)


@pytest.fixture
def expected() -> Graph:
    return sbm(num_nodes=400, mean_degree=6, num_classes=3, seed=0)


@pytest.fixture
def folder(tmp_path: Path, expected: Graph) -> Path:
    keys = ("y", "train_idx", "valid_idx", "test_idx")
    np.savez(
        tmp_path / "blocks.npz",
        edge_index=to_edge_index(expected.adj)[0].numpy(),
        num_nodes=400,
        **{key: getattr(expected, key).numpy() for key in keys},
    )
    prepare_graph(tmp_path / "blocks.npz", tmp_path / "blocks")
    return tmp_path / "blocks"


def test_is_the_same_graph(folder: Path, expected: Graph) -> None:
    for name in (folder, str(folder), f"{folder}/"):
        graph = load_graph(name)
        assert graph.fingerprint() == expected.fingerprint()
        assert (graph.name, graph.directed) == ("blocks", False)
    assert (graph.num_classes, graph.num_edges) == (3, expected.num_edges)


def test_nothing_is_read(folder: Path) -> None:
    adj = load_graph(folder).adj
    assert not adj.indices.flags.owndata
    assert not adj.indices.flags.writeable
    assert adj.data.strides == (0,)
    assert adj.has_canonical_format
    assert adj.indices.dtype == adj.indptr.dtype == np.int32
    csr = open_csr(folder)
    assert isinstance(csr.col, np.memmap)
    assert isinstance(csr.rowptr, np.memmap)


def test_everything_computes_on_it(folder: Path, expected: Graph) -> None:
    graph, adj = load_graph(folder), load_graph(folder).adj
    x = np.random.default_rng(0).random((400, 3))
    np.testing.assert_array_equal(adj @ x, expected.adj @ x)
    np.testing.assert_array_equal(adj.sum(axis=1), expected.adj.sum(axis=1))
    assert (gcn_norm(adj) != gcn_norm(expected.adj)).nnz == 0
    assert (adj != adj.T).nnz == 0
    assert (adj.copy() != expected.adj).nnz == 0
    assert torch.equal(to_edge_index(adj)[0], to_edge_index(expected.adj)[0])
    dense = to_torch_csr(expected.adj).to_dense()
    assert torch.equal(to_torch_csr(adj).to_dense(), dense)
    assert homophily(graph) == homophily(expected)
    order = np.arange(400)[::-1]
    moved, wanted = graph.permuted(order), expected.permuted(order)
    assert moved.fingerprint() == wanted.fingerprint()


def test_writing_to_labels_does_not_reach_the_file(folder: Path) -> None:
    load_graph(folder).y[:] = 0
    verify_graph(folder)
    assert load_graph(folder).y.max() == 2


def test_a_name_comes_before_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename("sbm")
    assert load_graph("sbm").num_nodes == 20_000
    assert load_graph("./sbm").num_nodes == 400


def test_direction_was_decided_before(folder: Path) -> None:
    with pytest.raises(ValueError, match="prepared with its edges both ways"):
        load_graph(folder, directed=True)
    source, out = folder.with_suffix(".npz"), folder.with_name("one-way")
    prepare_graph(source, out, directed=True)
    wanted = load_graph(source, directed=True)
    for asked in (False, True):
        graph = load_graph(out, directed=asked)
        assert graph.directed
        assert graph.fingerprint() == wanted.fingerprint()


def test_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", edge_index=[[0], [1]])
    prepare_graph(tmp_path / "e.npz", tmp_path / "g")
    with pytest.raises(ValueError, match="y, train_idx, valid_idx, test_idx missing"):
        load_graph(tmp_path / "g")
    assert open_csr(tmp_path / "g").col.tolist() == [1, 0]


def edit(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def shorten(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-1])

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


def flip(name: str, at: int) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 0x01
        (folder / name).write_bytes(data)

    return apply


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no-meta": (remove("meta.json"), "meta.json missing"),
    "no-json": (write("meta.json", "{"), "meta.json is damaged"),
    "list": (write("meta.json", "[]"), "does not describe a graph"),
    "other": (write("meta.json", "{}"), "does not describe a graph"),
    "version": (edit(version=7), "format version 7, but this kdgraph reads 1"),
    "nodes": (edit(num_nodes=3), "meta.json is damaged"),
    "nodes-none": (edit(num_nodes=None), "meta.json is damaged"),
    "parts": (edit(parts={"col": 3}), "meta.json is damaged"),
    "no-parts": (edit(parts={}), "meta.json is damaged"),
    "no-rowptr": (remove("rowptr.npy"), "rowptr.npy missing"),
    "no-y": (remove("y.npy"), "y.npy missing"),
    "short-col": (shorten("col.npy"), r"col.npy is truncated or damaged \(\d+ bytes"),
    "short-split": (shorten("test_idx.npy"), "test_idx.npy is truncated or damaged"),
    "header": (flip("col.npy", 2), "col.npy is damaged"),
    "dtype": (flip("col.npy", 22), "col.npy (is damaged|holds)"),
    "first-row": (flip("rowptr.npy", 128), "rowptr.npy is damaged"),
    "last-row": (flip("rowptr.npy", -8), "rowptr.npy is damaged"),
}


@pytest.mark.parametrize("name", list(DAMAGE))
def test_damage_is_told(folder: Path, name: str) -> None:
    spoil, fault = DAMAGE[name]
    spoil(folder)
    with pytest.raises(ValueError, match=fault) as caught:
        load_graph(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ")
    assert message.endswith(".")
    assert "\n" not in message
    with pytest.raises(ValueError, match=str(folder)):
        verify_graph(folder)


@pytest.mark.parametrize("part", ["rowptr", "col", "y", "valid_idx"])
def test_checksums(folder: Path, part: str) -> None:
    verify_graph(folder)
    flip(f"{part}.npy", 150)(folder)
    with pytest.raises(ValueError, match=f"{part}.npy does not match its checksum"):
        verify_graph(folder)


def test_neighbours_are_drawn_from_the_file(folder: Path, expected: Graph) -> None:
    batches = []
    for graph in (load_graph(folder), open_csr(folder), expected):
        torch.manual_seed(0)
        sampler = NeighborSampler(graph, [3, 2])
        loader = NodeLoader(sampler.data, sampler, input_nodes=expected.train_idx)
        batches.append(next(iter(loader)))
        assert sampler.data.num_nodes == 400
    for batch in batches[:2]:
        assert torch.equal(batch.n_id, batches[2].n_id)
        assert torch.equal(batch.edge_index, batches[2].edge_index)
