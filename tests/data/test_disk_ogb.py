from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgraph.data import load_graph, prepare_graph
from tests.data.disk_graphs import TINY
from tests.data.test_ogb import make_binary, make_text, write


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("ogbn-arxiv", make_text),
        ("ogbn-papers100M", make_binary),
        ("ogbn-products", lambda folder: make_text(folder, split="sales_ranking")),
    ],
)
def test_equals_what_is_loaded(
    tmp_path: Path, name: str, make: Callable[[Path], Path], directed: bool
) -> None:
    folder = make(tmp_path / name.replace("-", "_"))
    expected = load_graph(name, tmp_path, directed=directed)
    prepare_graph(folder, tmp_path / "g", directed=directed, memory=TINY)
    graph = load_graph(tmp_path / "g")
    assert graph.fingerprint() == expected.fingerprint()
    assert (graph.directed, graph.notes) == (expected.directed, expected.notes)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (
            lambda folder: write(folder / "raw" / "edge.csv.gz", "0,1\n1,9\n"),
            "line 2 holds the node id 9",
        ),
        (
            lambda folder: write(folder / "raw" / "edge.csv.gz", "0,1\n"),
            "1 edges found where 5 are announced",
        ),
        (
            lambda folder: write(folder / "raw" / "node-label.csv.gz", "0\n1\n"),
            "y must have shape",
        ),
        (
            lambda folder: write(folder / "split" / "time" / "test.csv.gz", "0\n"),
            "train_idx and test_idx both",
        ),
        (
            lambda folder: (folder / "split" / "random").mkdir(),
            "split must hold one folder",
        ),
        (
            lambda folder: (folder / "raw").rename(folder / "processed"),
            "is no folder of OGB",
        ),
    ],
)
def test_faults(tmp_path: Path, spoil: Callable[[Path], object], fault: str) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    spoil(folder)
    with pytest.raises(ValueError, match=fault) as caught:
        prepare_graph(folder, tmp_path / "g")
    assert str(caught.value).startswith(str(folder))
    assert os.listdir(tmp_path) == ["ogbn_arxiv"]


def test_a_missing_file(tmp_path: Path) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    (folder / "raw" / "edge.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="edge.csv.gz missing"):
        prepare_graph(folder, tmp_path / "g")
    make_text(folder)
    (folder / "split" / "time" / "valid.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="valid.csv.gz missing"):
        prepare_graph(folder, tmp_path / "g")
    assert os.listdir(tmp_path) == ["ogbn_arxiv"]
