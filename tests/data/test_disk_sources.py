from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdgraph.data import prepare_graph
from tests.data.disk_graphs import TINY, check, hub, save


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i4", ">i8", "<u8", "<i2"])
@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_every_way_to_store_an_array(
    tmp_path: Path, pack: Callable[..., None], dtype: str, order: Any
) -> None:
    edges = hub(600)
    pack(tmp_path / "e.npz", edge_index=np.asarray(edges, dtype=dtype, order=order))
    prepare_graph(tmp_path / "e.npz", tmp_path / "g", memory=TINY)
    check(tmp_path / "g", edges, int(edges.max()) + 1, directed=False)


def lines(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        with gzip.open(path, "wt", newline="") as file:
            file.write(text)
    else:
        path.write_text(text, newline="")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "0,1\n1,2\n4,4\n"),
        ("e.csv.gz", "source,target\r\n0,1\r\n1,2\r\n4,4"),
        ("e.csv", "# made by hand\n# ids\n0, 1\n1, 2\n4, 4\n"),
        ("e.tsv", "id_1\tid_2\n0\t1\n\n1\t2\n   \n4\t4\n\n\n"),
        ("e.txt.gz", "0 1\n1 2\n4 4\n"),
        ("e.txt", " 0   1 \n1;2\n4,4\n"),
        ("e.txt", "+0 +1\n1 2\n+4\t4\n"),
        ("e.csv", "\ufeff0,1\n1,2\n4,4\n"),
        ("e.csv.gz", '\ufeff"Node 1","Node 2"\n0,1\n1,2\n4,4\n'),
    ],
)
def test_text(tmp_path: Path, name: str, text: str) -> None:
    prepare_graph(lines(tmp_path / name, text), tmp_path / "g", directed=True)
    check(tmp_path / "g", np.array([[0, 1, 4], [1, 2, 4]]), 5, directed=True)


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz"])
def test_long_text(tmp_path: Path, name: str) -> None:
    edges = hub(3000)
    text = "".join(f"{u},{v}\n" for u, v in edges.T)
    prepare_graph(lines(tmp_path / name, text), tmp_path / "g", memory=TINY)
    check(tmp_path / "g", edges, int(edges.max()) + 1, directed=False)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("7,x", "line 2001 must hold two node ids"),
        ("7", "line 2001 must hold two node ids"),
        ("7,8,9", "line 2001 must hold two node ids"),
        ("7,,8", "line 2001 must hold two node ids"),
        ("7.5,8", "line 2001 must hold two node ids"),
        ("7-8,9", "line 2001 must hold two node ids"),
        ("source,target", "line 2001 must hold two node ids"),
        ("7,-1", "line 2001 holds the node id -1"),
        ("10,300", "line 2001 holds the node id 300, but ids are 0 to 299"),
        ("1" * 30 + ",0", "line 2001 "),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, fault: str) -> None:
    text = "0,1\n" * 2000 + f"{line}\n" + "2,3\n" * 500
    path = lines(tmp_path / "e.csv", text)
    with pytest.raises(ValueError, match=fault) as caught:
        prepare_graph(path, tmp_path / "g", num_nodes=300, memory=TINY)
    assert str(caught.value).startswith(f"{path}: ")
    assert os.listdir(tmp_path) == ["e.csv"]


@pytest.mark.parametrize(
    "first", ['"7","8"', ".5 1", "+1.0 +2.0", "+7,+8,+9", "a,+1e3", "nan\tnan", "+ 1"]
)
def test_numbers_in_another_notation_are_no_header(tmp_path: Path, first: str) -> None:
    path = lines(tmp_path / "e.txt", f"{first}\n0 1\n")
    with pytest.raises(ValueError, match="line 1 must hold two node ids"):
        prepare_graph(path, tmp_path / "g")


def test_three_and_one_are_not_two_and_two(tmp_path: Path) -> None:
    path = lines(tmp_path / "e.csv", "0,1\n1,2,3\n4\n")
    with pytest.raises(ValueError, match="line 2 must hold two node ids"):
        prepare_graph(path, tmp_path / "g")


def damaged_gzip(folder: Path) -> Path:
    path = lines(folder / "e.csv.gz", "0,1\n" * 50)
    path.write_bytes(path.read_bytes()[:-9])
    return path


def cut_npz(folder: Path) -> Path:
    path = save(folder, hub(500))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda at: lines(at / "e.csv", ""), "holds no edges"),
    "header": (lambda at: lines(at / "e.csv", "a,b\n"), "holds no edges"),
    "no-gzip": (
        lambda at: lines(at / "e.csv", "0,1\n").rename(at / "e.csv.gz"),
        "truncated or damaged",
    ),
    "half-gzip": (damaged_gzip, "truncated or damaged"),
    "no-file": (lambda at: at / "none.csv", "does not exist"),
    "no-npz": (lambda at: at / "none.npz", "does not exist"),
    "name": (lambda at: lines(at / "e.json", "{}"), "no edge list by its name"),
    "flipped": (cut_npz, "edge_index is truncated or damaged"),
    "float": (lambda at: save(at, np.zeros((2, 3))), "must hold integers"),
    "turned": (lambda at: save(at, np.zeros((3, 2), int)), r"must have shape \[2, E\]"),
    "negative": (lambda at: save(at, np.array([[0], [-2]])), "node id -2"),
    "beyond": (
        lambda at: save(at, np.array([[0], [6]]), num_nodes=6),
        "node id 6, but num_nodes = 6",
    ),
    "too-many": (lambda at: save(at, np.array([[0], [1 << 40]])), "node id 1099511"),
    "huge": (
        lambda at: save(at, np.array([[0], [1]]), num_nodes=1 << 40),
        "num_nodes must lie between 1 and 4294967296",
    ),
    "nothing": (lambda at: save(at, np.zeros((2, 0), int)), "give num_nodes"),
    "half-labelled": (
        lambda at: save(at, np.array([[0], [1]]), num_nodes=2, y=[0, 1]),
        "train_idx, valid_idx, test_idx missing",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_leaves_nothing(tmp_path: Path, name: str) -> None:
    make, fault = BAD[name]
    path = make(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ValueError, match=fault) as caught:
        prepare_graph(path, tmp_path / "g")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_parquet_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="Parquet needs pyarrow; install"):
        prepare_graph(tmp_path / "e.parquet", tmp_path / "g")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    edges = hub(700)
    table = pyarrow.table({"src": edges[0], "dst": edges[1], "weight": edges[0] / 2})
    parquet.write_table(table, tmp_path / "e.parquet")
    prepare_graph(tmp_path / "e.parquet", tmp_path / "g", memory=TINY)
    check(tmp_path / "g", edges, int(edges.max()) + 1, directed=False)
