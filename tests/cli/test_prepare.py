"""``kdgraph prepare``: a summary, a folder to train on, and sentences."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdgraph.data import build_adjacency, load_graph, open_csr

Kdgraph = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def test_summary(kdgraph: Kdgraph, npz: Path, tmp_path: Path) -> None:
    done = kdgraph("prepare", npz, "-o", tmp_path / "graph")
    assert (done.status, done.err) == (0, "")
    first, second = done.out.splitlines()
    # Two rings of 20 with steps of 1 and 2, and a link between them.
    assert first.startswith(
        f"{tmp_path / 'graph'}: 40 nodes, 162 edges, both ways, 2.4 kB on disk, "
    )
    assert second == "81 edges read, 0 repeated ones dropped, 0 self-loops"


def test_training_on_it(
    train: Callable[..., dict[str, Any]], kdgraph: Kdgraph, npz: Path, tmp_path: Path
) -> None:
    kdgraph("prepare", npz, "-o", tmp_path / "rings")
    options = ("--model", "gcn", "--compare", "labelprop")
    mapped = train("--dataset", tmp_path / "rings", *options)
    read = train("--dataset", npz, *options)
    assert mapped["dataset"] == read["dataset"] == "rings"
    for key in ("test_score", "valid_score", "inference_bytes", "num_edges"):
        assert mapped[key] == read[key]
        assert mapped["compare"]["labelprop"][key] == read["compare"]["labelprop"][key]


@pytest.mark.parametrize("model", ["sage", "gat", "gin"])
def test_every_network_takes_it(
    train: Callable[..., dict[str, Any]],
    kdgraph: Kdgraph,
    npz: Path,
    tmp_path: Path,
    model: str,
) -> None:
    kdgraph("prepare", npz, "-o", tmp_path / "g", "--directed")
    options = ("--model", model, "--coder", "fixed", "--codes", "random")
    mapped = train("--dataset", tmp_path / "g", *options)
    read = train("--dataset", npz, "--directed", *options)
    assert mapped["test_score"] == read["test_score"]


def test_without_labels(kdgraph: Kdgraph, tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_text("source,target\n0,1\n1,0\n2,2\n0,1\n")
    done = kdgraph("prepare", path, "-o", tmp_path / "g", "--memory", "1M")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'g'}: 3 nodes, 3 edges, both ways")
    assert lines[1] == "4 edges read, 2 repeated ones dropped, 1 self-loops"
    assert lines[2] == "note: no labels in the input; kdgraph train needs them"
    done = kdgraph("train", "--dataset", tmp_path / "g")
    assert done.status == 2
    assert "y, train_idx, valid_idx, test_idx missing" in done.sentence


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--memory", "lots"), "expected bytes like 512M or 4G"),
        (("--memory", "12"), "memory is at least"),
        (("--num-nodes", "-3"), "num_nodes must lie between 1 and"),
        (("--num-nodes", "2"), "line 3 holds the node id 2, but ids are 0 to 1"),
        (("--num-nodes", "many"), "--num-nodes"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one),
)
def test_bad_options(
    kdgraph: Kdgraph, tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    path = tmp_path / "edges.csv"
    path.write_text("0,1\n1,0\n2,2\n")
    done = kdgraph("prepare", path, "-o", tmp_path / "g", *options)
    assert done.status == 2
    assert part in done.sentence
    assert os.listdir(tmp_path) == ["edges.csv"]


def test_an_output_that_is_there(kdgraph: Kdgraph, npz: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    assert kdgraph("prepare", npz, "-o", out).status == 0
    done = kdgraph("prepare", npz, "-o", out)
    assert done.status == 2
    assert "is there already" in done.sentence
    assert kdgraph("prepare", npz, "-o", out, "--force", "--directed").status == 0
    assert open_csr(out).directed


def test_no_room(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kdgraph.data.disk.buckets.Bucket.sync", full)
    done = kdgraph("prepare", npz, "-o", tmp_path / "g")
    assert done.status == 1
    assert done.sentence == (
        f"kdgraph: error: {tmp_path / 'g'}: No space left on device\n"
    )
    assert os.listdir(tmp_path) == [npz.name]


def test_killed_and_repeated(kdgraph: Kdgraph, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    edges = rng.integers(0, 5000, (2, 300_000))
    path, out = tmp_path / "edges.npz", tmp_path / "g"
    np.savez(path, edge_index=edges, num_nodes=5000)
    command = ["prepare", str(path), "-o", str(out), "--memory", "1M"]
    process = subprocess.Popen([sys.executable, "-m", "kdgraph", *command], cwd=ROOT)
    state = tmp_path / ".g.partial" / "state.json"
    until = time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Whatever it had done by then, and were it everything.
    if not out.exists():
        assert kdgraph(*command).status == 0
    csr, adj = open_csr(out), build_adjacency(edges, 5000)
    assert np.array_equal(csr.rowptr, adj.indptr)
    assert np.array_equal(csr.col, adj.indices)
    assert sorted(os.listdir(tmp_path)) == ["edges.npz", "g"]


def test_interrupted(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.data.disk.build.sorted_runs", strike)
        done = kdgraph("prepare", npz, "-o", tmp_path / "g")
    assert done.status == 130
    assert "interrupted; the same command goes on from here" in done.sentence
    assert kdgraph("prepare", npz, "-o", tmp_path / "g").status == 0
    assert load_graph(tmp_path / "g").fingerprint() == load_graph(npz).fingerprint()


def test_a_folder_of_ogb(kdgraph: Kdgraph, tmp_path: Path) -> None:
    root = os.environ.get("KDGRAPH_DATA")
    if not root or not (Path(root) / "ogbn_arxiv" / "raw").is_dir():
        pytest.skip("KDGRAPH_DATA names no folder with ogbn_arxiv")
    folder = Path(root) / "ogbn_arxiv"
    done = kdgraph("prepare", folder, "-o", tmp_path / "g", "--memory", "16M")
    assert (done.status, done.err) == (0, "")
    graph, expected = load_graph(tmp_path / "g"), load_graph("ogbn-arxiv", root)
    assert graph.fingerprint() == expected.fingerprint()
    assert graph.notes == expected.notes
