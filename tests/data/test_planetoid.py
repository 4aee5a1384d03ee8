from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdgraph.data import homophily, load_graph

Listing = Callable[[Path], dict[str, tuple[int, int]]]
PRETTY = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}


@pytest.fixture
def planetoid(real_root: Path) -> Path:
    folder = real_root / "planetoid"
    if not (folder / "Cora" / "raw").is_dir():
        pytest.skip(f"no Planetoid files in {folder}")
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.datasets import Planetoid

    def refuse(self: object) -> None:
        raise OSError("no route\nto the host.")

    monkeypatch.setattr(Planetoid, "download", refuse)


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "classes", "train", "features", "ratio"),
    [
        ("cora", 2708, 10_556, 7, 140, 1433, 0.810),
        ("citeseer", 3327, 9104, 6, 120, 3703, 0.736),
        ("pubmed", 19_717, 88_648, 3, 60, 500, 0.802),
    ],
)
def test_published_counts(
    planetoid: Path,
    listing: Listing,
    name: str,
    nodes: int,
    edges: int,
    classes: int,
    train: int,
    features: int,
    ratio: float,
) -> None:
    before = listing(planetoid)
    graph = load_graph(name, planetoid.parent)
    assert listing(planetoid) == before
    assert (graph.num_nodes, graph.num_edges) == (nodes, edges)
    assert (graph.name, graph.num_classes, graph.metric) == (name, classes, "accuracy")
    sizes = [idx.numel() for idx in (graph.train_idx, graph.valid_idx, graph.test_idx)]
    assert sizes == [train, 500, 1000]
    assert graph.notes == (f"input features [{nodes}, {features}] dropped",)
    assert homophily(graph) == pytest.approx(ratio, abs=5e-4)
    assert torch.bincount(graph.y[graph.train_idx]).tolist() == [20] * classes
    one_way = load_graph(name.upper(), planetoid.parent, directed=True)
    assert (one_way.adj != graph.adj).nnz == 0


@pytest.mark.parametrize(
    "place",
    ["planetoid/Cora/raw", "Planetoid/Cora/raw", "Cora/raw", "cora/raw", "raw", "."],
)
def test_layouts(planetoid: Path, tmp_path: Path, place: str) -> None:
    target = tmp_path / place
    shutil.copytree(planetoid / "Cora" / "raw", target, dirs_exist_ok=True)
    found = load_graph("cora", tmp_path)
    assert found.fingerprint() == load_graph("cora", planetoid.parent).fingerprint()


def test_root_from_the_environment(
    planetoid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDGRAPH_DATA", str(planetoid.parent))
    assert load_graph("cora").num_nodes == 2708


def raw_copy(planetoid: Path, folder: Path) -> Path:
    raw = folder / "planetoid" / "Cora" / "raw"
    raw.mkdir(parents=True)
    for path in (planetoid / "Cora" / "raw").iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    return raw


@pytest.mark.usefixtures("no_network")
def test_a_missing_file(planetoid: Path, tmp_path: Path, listing: Listing) -> None:
    raw = raw_copy(planetoid, tmp_path)
    (raw / "ind.cora.ally").unlink()
    before = listing(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"ind\.cora\.ally missing") as caught:
        load_graph("cora", tmp_path)
    assert str(raw) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("part", ["graph", "ally", "test.index"])
def test_a_damaged_file(planetoid: Path, tmp_path: Path, part: str) -> None:
    raw = raw_copy(planetoid, tmp_path)
    (raw / f"ind.cora.{part}").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged") as caught:
        load_graph("cora", tmp_path)
    assert str(raw) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", list(PRETTY))
def test_nothing_there_and_no_network(tmp_path: Path, name: str) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        load_graph(name, tmp_path)
    message = str(caught.value)
    assert "no route to the host" in message
    assert str(tmp_path / "planetoid" / PRETTY[name]) in message
    assert "$KDGRAPH_DATA" in message
    assert "\n" not in message
    assert os.listdir(tmp_path) == ["kept"]  # no half of a data set stays behind


@pytest.mark.usefixtures("no_network")
def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="could not be downloaded"):
        load_graph("cora", tmp_path / "file" / "data")


def test_download(
    planetoid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_geometric.datasets import Planetoid

    def copy(self: Planetoid) -> None:
        for path in (planetoid / "Cora" / "raw").iterdir():
            (Path(self.raw_dir) / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(Planetoid, "download", copy)
    root = tmp_path / "new" / "data"
    first = load_graph("cora", root)
    assert (root / "planetoid" / "Cora" / "raw" / "ind.cora.graph").is_file()
    assert os.listdir(root) == ["planetoid"]
    monkeypatch.setattr(Planetoid, "download", lambda self: pytest.fail("again"))
    assert load_graph("cora", root).fingerprint() == first.fingerprint()
