from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kdgraph.data import _ogb_download, load_graph, ogb
from kdgraph.data import memory as _memory
from kdgraph.data._csv import read_ints

Listing = Callable[[Path], dict[str, tuple[int, int]]]
EDGES = [(0, 1), (1, 2), (3, 3), (0, 1), (4, 0)]
Y = [0, 2, 1, 0, 1]
REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = {"train": [0, 1], "valid": [2], "test": [3, 4]}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") as file:
        file.write(text)


def make_text(folder: Path, split: str = "time") -> Path:
    """Write a small graph in the layout of OGB."""
    raw = folder / "raw"
    write(raw / "edge.csv.gz", "".join(f"{u},{v}\n" for u, v in EDGES))
    write(raw / "num-node-list.csv.gz", "5\n")
    write(raw / "num-edge-list.csv.gz", f"{len(EDGES)}\n")
    write(raw / "node-label.csv.gz", "".join(f"{label}\n" for label in Y))
    write(raw / "node-feat.csv.gz", "0.5,1.5,2\n" * 5)
    for part, ids in PARTS.items():
        path = folder / "split" / split / f"{part}.csv.gz"
        write(path, "".join(f"{i}\n" for i in ids))
    return folder


def make_binary(folder: Path) -> Path:
    """Write a small graph in the binary layout of OGB."""
    (folder / "raw").mkdir(parents=True)
    np.savez(
        folder / "raw" / "data.npz",
        edge_index=np.array(EDGES).T,
        num_nodes_list=np.array([5]),
        num_edges_list=np.array([len(EDGES)]),
        node_feat=np.zeros((5, 3), dtype=np.float32),
    )
    label = np.array([[0.0], [2.0], [1.0], [0.0], [1.0]])
    np.savez(folder / "raw" / "node-label.npz", node_label=label)
    for part, ids in PARTS.items():
        path = folder / "split" / "time" / f"{part}.csv.gz"
        write(path, "".join(f"{i}\n" for i in ids))
    return folder


def expected(directed: bool) -> np.ndarray:
    dense = np.zeros((5, 5))
    for u, v in EDGES:
        dense[v, u] = 1
        if not directed:
            dense[u, v] = 1
    return dense


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("folder", ["ogbn_arxiv", "ogbn_arxiv_pyg"])
def test_text_layout(
    tmp_path: Path, listing: Listing, folder: str, directed: bool
) -> None:
    make_text(tmp_path / folder)
    before = listing(tmp_path)
    for root in (tmp_path, tmp_path / folder):
        graph = load_graph("ogbn-arxiv", root, directed=directed)
        np.testing.assert_array_equal(graph.adj.toarray(), expected(directed))
        assert graph.y.tolist() == Y
        assert graph.test_idx.tolist() == PARTS["test"]
        assert graph.notes == ("input features [5, 3] dropped",)
    assert listing(tmp_path) == before


def test_products_are_undirected(tmp_path: Path) -> None:
    make_text(tmp_path / "ogbn_products", split="sales_ranking")
    graph = load_graph("ogbn-products", tmp_path, directed=True)
    np.testing.assert_array_equal(graph.adj.toarray(), expected(directed=False))
    assert not graph.directed


def test_binary_layout(tmp_path: Path) -> None:
    folder = make_binary(tmp_path / "ogbn_papers100M")
    graph = load_graph("ogbn_papers100m", tmp_path, directed=True)
    assert graph.name == "ogbn-papers100M"
    np.testing.assert_array_equal(graph.adj.toarray(), expected(directed=True))
    assert graph.notes == ("input features [5, 3] dropped",)
    label = np.array([[0.0], [2.0], [1.0], [np.nan], [1.0]])
    np.savez(folder / "raw" / "node-label.npz", node_label=label)
    with pytest.raises(ValueError, match="node id 3, which is unlabelled"):
        load_graph("ogbn-papers100M", tmp_path)
    for path in (folder / "split" / "time").iterdir():
        path.unlink()
    torch.save(
        {"train": np.array([0, 1]), "valid": np.array([2]), "test": np.array([4])},
        folder / "split" / "time" / "split_dict.pt",
    )
    assert load_graph("ogbn-papers100M", tmp_path).y.tolist() == [0, 2, 1, -1, 1]


def test_split_dictionary_of_tensors(tmp_path: Path) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    path = folder / "split" / "time" / "split_dict.pt"
    torch.save({part: torch.tensor(ids) for part, ids in PARTS.items()}, path)
    for part in PARTS:
        (path.parent / f"{part}.csv.gz").unlink()
    assert load_graph("ogbn-arxiv", tmp_path).train_idx.tolist() == PARTS["train"]


class Harmful:
    """A pickle that would run something."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    "content", [{"train": [0]}, {"train": Harmful()}, "text", b"damaged"]
)
def test_split_dictionary_faults(tmp_path: Path, content: object) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    path = folder / "split" / "time" / "split_dict.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="split") as caught:
        load_graph("ogbn-arxiv", tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file",
    [
        "raw/edge.csv.gz",
        "raw/node-label.csv.gz",
        "raw/num-node-list.csv.gz",
        "split/time/valid.csv.gz",
    ],
)
def test_a_missing_file(tmp_path: Path, listing: Listing, file: str) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    (folder / file).unlink()
    before = listing(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{file} missing") as caught:
        load_graph("ogbn-arxiv", tmp_path)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("raw/edge.csv.gz", "0,1\n1,9\n2,0\n0,0\n1,1\n", "node id 9"),
        ("raw/edge.csv.gz", "0,1\n1\n", "2 integer"),
        ("raw/edge.csv.gz", "0,1\n1,,2\n", "2 integer"),
        ("raw/edge.csv.gz", "0,1\n", "1 edges found where 5"),
        ("raw/num-node-list.csv.gz", "0\n", "one positive number"),
        ("raw/num-node-list.csv.gz", "3\n4\n", "one positive number"),
        ("raw/node-label.csv.gz", "0\n1\n", "y must have shape"),
        ("raw/node-label.csv.gz", "0\n1\n2\nx\n1\n", "1 integer"),
        ("split/time/valid.csv.gz", "", "valid_idx is empty"),
        ("split/time/valid.csv.gz", "0\n", "train_idx and valid_idx both"),
    ],
)
def test_malformed_files(tmp_path: Path, file: str, text: str, fault: str) -> None:
    folder = make_text(tmp_path / "ogbn_arxiv")
    write(folder / file, text)
    with pytest.raises(ValueError, match=fault) as caught:
        load_graph("ogbn-arxiv", tmp_path)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = make_text(tmp_path / "ogbn_arxiv") / "raw" / "edge.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_graph("ogbn-arxiv", tmp_path)


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_binary(tmp_path / "ogbn_papers100M")
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100)
    with pytest.raises(ValueError, match="GB of memory"):
        load_graph("ogbn-papers100M", tmp_path)
    with pytest.raises(ValueError, match="GB of memory"):  # before any download
        load_graph("ogbn-papers100M", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


class TestDownload:
    @pytest.fixture(autouse=True)
    def no_questions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ogb")
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question"))

    def test_no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import urllib.request

        def refuse(url: str) -> None:
            raise OSError("no route")

        monkeypatch.setattr(urllib.request, "urlopen", refuse)
        with pytest.raises(FileNotFoundError) as caught:
            load_graph("ogbn-arxiv", tmp_path)
        message = str(caught.value)
        assert "no route" in message
        assert "\n" not in message
        assert str(tmp_path / "ogbn_arxiv") in message
        assert os.listdir(tmp_path) == []

    def test_success(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        import ogb.utils.url

        source = make_text(tmp_path / "source" / "arxiv")

        def download(url: str, folder: str) -> str:
            assert url.endswith("/arxiv.zip")
            path = Path(folder) / "arxiv.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for file in source.rglob("*.gz"):
                    archive.write(file, file.relative_to(source.parent))
            return str(path)

        monkeypatch.setattr(ogb.utils.url, "download_url", download)
        root = tmp_path / "root"
        graph = load_graph("ogbn-arxiv", root)
        np.testing.assert_array_equal(graph.adj.toarray(), expected(directed=False))
        assert os.listdir(root) == ["ogbn_arxiv"]
        assert capsys.readouterr().out == ""  # standard output is for results

    def test_without_ogb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ogb", None)
        with pytest.raises(FileNotFoundError, match=r"install kdgraph\[ogb\]"):
            load_graph("ogbn-arxiv", tmp_path)

    def test_import_starts_no_thread(self) -> None:
        code = (
            "import sys, threading\n"
            "from kdgraph.data import _ogb_download\n"
            "before = threading.active_count()\n"
            "module = _ogb_download.import_ogb()\n"
            "assert module.__name__ == 'ogb', module\n"
            "assert threading.active_count() == before\n"
            "assert 'outdated' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)

    @pytest.mark.parametrize("name", list(ogb._SOURCES))
    def test_address(self, name: str) -> None:
        url, folder = _ogb_download.address(name)
        assert url == f"http://snap.stanford.edu/ogb/data/nodeproppred/{folder}.zip"


def test_read_ints_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).integers(-9, 10**6, (500, 3))
    path = tmp_path / "table.csv.gz"
    text = "\r\n".join(",".join(map(str, row)) for row in table.tolist())
    write(path, text)  # no line break at the end
    for size in (7, 64, 1 << 20):
        monkeypatch.setattr("kdgraph.data._csv._CHUNK", size)
        np.testing.assert_array_equal(read_ints(path, columns=3), table)


def test_arxiv(real_root: Path, listing: Listing) -> None:
    folder = real_root / "ogbn_arxiv"
    if not (folder / "raw").is_dir():
        pytest.skip(f"{folder} is absent")
    before = listing(folder)
    graph = load_graph("ogbn_arxiv", real_root)
    assert listing(folder) == before
    assert (graph.num_nodes, graph.num_edges) == (169_343, 2_315_598)
    assert graph.num_classes == 40
    sizes = [idx.numel() for idx in (graph.train_idx, graph.valid_idx, graph.test_idx)]
    assert sizes == [90_941, 29_799, 48_603]
    assert load_graph("ogbn-arxiv", real_root, directed=True).num_edges == 1_166_243
    packed = folder / "ogbn_arxiv.npz"
    if packed.is_file():
        assert load_graph(packed).fingerprint() == graph.fingerprint()
