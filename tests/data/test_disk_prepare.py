from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdgraph.data import load_graph, open_csr, prepare_graph, verify_graph
from kdgraph.data.disk import buckets, build, layout, writer
from kdgraph.data.disk.staging import Staging, staging_path
from tests.data.disk_graphs import TINY, check, hub, save


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("memory", [TINY, 1 << 30])
def test_equals_the_adjacency(
    tmp_path: Path, edge_list: tuple[np.ndarray, int], memory: int, directed: bool
) -> None:
    edges, num_nodes = edge_list
    path = save(tmp_path, edges, num_nodes=num_nodes)
    done = prepare_graph(path, tmp_path / "g", directed=directed, memory=memory)
    check(tmp_path / "g", edges, num_nodes, directed=directed)
    pairs = {(u, v) if directed else (min(u, v), max(u, v)) for u, v in edges.T}
    assert done.edges_read == edges.shape[1]
    assert done.repeated == edges.shape[1] - len(pairs)
    assert done.self_loops == len({u for u, v in pairs if u == v})
    assert sorted(os.listdir(tmp_path / "g")) == ["col.npy", "meta.json", "rowptr.npy"]


@pytest.mark.parametrize("directed", [False, True])
def test_a_hub_and_an_edge_repeated_beyond_memory(
    tmp_path: Path, directed: bool
) -> None:
    edges = hub(4000)
    path = save(tmp_path, edges, num_nodes=400)
    prepare_graph(path, tmp_path / "g", directed=directed, memory=TINY)
    check(tmp_path / "g", edges, 400, directed=directed)


def test_memory_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edges = hub(4000)
    path = save(tmp_path, edges)
    sizes: list[int] = []
    add = build.RowWriter.add

    def watch(self: Any, keys: np.ndarray) -> None:
        sizes.append(keys.size)
        add(self, keys)

    monkeypatch.setattr(build.RowWriter, "add", watch)
    prepare_graph(path, tmp_path / "g", memory=TINY)
    assert len(sizes) > 10
    assert max(sizes) <= TINY // 16


@pytest.mark.parametrize(
    ("edges", "num_nodes"),
    [
        (np.zeros((2, 0), dtype=np.int64), 1),
        (np.zeros((2, 0)), 5),
        (np.zeros((2, 3), dtype=np.int64), 1),
        (np.array([[4], [0]], dtype=np.uint8), 5),
    ],
)
def test_small_graphs(tmp_path: Path, edges: np.ndarray, num_nodes: int) -> None:
    prepare_graph(save(tmp_path, edges, num_nodes=num_nodes), tmp_path / "g")
    check(tmp_path / "g", edges.astype(np.int64), num_nodes, directed=False)


@pytest.mark.parametrize("given", [None, 12])
def test_nodes_are_counted_where_nobody_says(tmp_path: Path, given: int | None) -> None:
    edges = np.array([[0, 3], [9, 3]])
    prepare_graph(save(tmp_path, edges), tmp_path / "g", num_nodes=given)
    check(tmp_path / "g", edges, given or 10, directed=False)


def test_more_than_31_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The rows of so many nodes would be long: their starts are counted, not written.
    written: dict[str, int] = {}
    append = writer.NpyWriter.append

    def count(self: Any, values: np.ndarray) -> None:
        if self.path.name == "rowptr.npy":
            self.length += values.size
        else:
            append(self, values)
        written[self.path.name] = self.length

    rows = build.RowWriter(tmp_path, 1 << 32, 32, step=1 << 20)
    assert rows._col.dtype == np.int64
    top = (1 << 32) - 1
    monkeypatch.setattr(writer.NpyWriter, "append", count)
    rows._rowptr.length = top  # as if all rows before had begun
    rows.add(np.array([(top << 32) | top], dtype=np.uint64))
    assert written == {"rowptr.npy": 1 << 32, "col.npy": 1}
    rows.close()
    assert rows.loops == 1


def kill(path: Path, out: Path, calls: int) -> None:
    """Press Ctrl-C after so many buckets were sorted."""
    sort, seen = build.sorted_runs, []

    def strike(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) > calls:
            raise KeyboardInterrupt
        return sort(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "sorted_runs", strike)
        with pytest.raises(KeyboardInterrupt):
            prepare_graph(path, out, memory=TINY)


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_an_interrupted_build_goes_on(tmp_path: Path, calls: int) -> None:
    edges = hub(2000)
    path, out = save(tmp_path, edges, num_nodes=300), tmp_path / "g"
    kill(path, out, calls)
    assert not out.exists()
    state = json.loads((staging_path(out) / "state.json").read_bytes())
    assert state["done"] == calls
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "scatter", None)  # edges are not read again
        done = prepare_graph(path, out, memory=1 << 20)
    assert done.edges_read == 2000
    check(out, edges, 300, directed=False)


@pytest.mark.parametrize("change", ["input", "time", "directed", "num_nodes"])
def test_another_build_starts_anew(tmp_path: Path, change: str) -> None:
    edges = hub(2000)
    path, out = save(tmp_path, edges), tmp_path / "g"
    kill(path, out, 2)
    if change == "input":
        edges = edges[:, :1500]
        save(tmp_path, edges)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    directed, num_nodes = change == "directed", 500 if change == "num_nodes" else None
    prepare_graph(path, out, directed=directed, num_nodes=num_nodes, memory=TINY)
    check(out, edges, num_nodes or int(edges.max()) + 1, directed=directed)


def test_interrupted_while_reading_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(done: float, stage: str) -> None:
        raise KeyboardInterrupt

    path = save(tmp_path, hub(2000))
    with pytest.raises(KeyboardInterrupt):
        prepare_graph(path, tmp_path / "g", memory=TINY, progress=strike)
    assert os.listdir(tmp_path) == ["edges.npz"]


@pytest.mark.parametrize("where", ["buckets", "rows"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "buckets":
        monkeypatch.setattr(buckets.Bucket, "sync", full)
    else:
        monkeypatch.setattr(writer.NpyWriter, "append", full)
    path = save(tmp_path, hub(500))
    with pytest.raises(OSError, match="No space left on device") as caught:
        prepare_graph(path, tmp_path / "g")
    assert caught.value.filename == str(tmp_path / "g")
    assert os.listdir(tmp_path) == ["edges.npz"]


def test_two_at_once(tmp_path: Path) -> None:
    path, out = save(tmp_path, hub(500)), tmp_path / "g"

    def again(done: float, stage: str) -> None:
        with pytest.raises(ValueError, match="another process prepares it"):
            prepare_graph(path, out)

    prepare_graph(path, out, progress=again)
    verify_graph(out)


def test_nobody_comes_between_while_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a graph is in its place its folder is locked, and then it is there."""
    path, out, write = save(tmp_path, hub(500)), tmp_path / "g", layout.Meta.write

    def again(meta: layout.Meta, folder: Path) -> None:
        with pytest.raises(ValueError, match="another process prepares it"):
            Staging(out, {})
        write(meta, folder)

    with monkeypatch.context() as patch:
        patch.setattr(layout.Meta, "write", again)
        prepare_graph(path, out)
    # A process that has waited since before that finds it, and leaves it alone.
    with pytest.raises(ValueError, match="is there already"):
        Staging(out, {})
    assert sorted(os.listdir(tmp_path)) == ["edges.npz", "g"]
    assert ".lock" not in os.listdir(out)
    verify_graph(out)


def test_labels_come_along(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = tmp_path / "toy.npz"
    np.savez_compressed(path, **arrays, x=np.zeros((6, 2)))
    prepare_graph(path, tmp_path / "g")
    graph, expected = load_graph(tmp_path / "g"), load_graph(path)
    assert graph.fingerprint() == expected.fingerprint()
    assert (graph.name, graph.num_classes) == ("g", expected.num_classes)
    assert graph.notes == expected.notes == ("input features [6, 2] dropped",)


def test_many_labels_come_along(tmp_path: Path, arrays: dict[str, Any]) -> None:
    arrays["y"] = np.eye(6, dtype=np.uint8)[:, :4]
    path = save(tmp_path, arrays.pop("edge_index"), **arrays)
    prepare_graph(path, tmp_path / "g")
    graph = load_graph(tmp_path / "g")
    assert graph.metric == "micro-f1"
    assert graph.fingerprint() == load_graph(path).fingerprint()


def test_num_nodes_must_agree(tmp_path: Path) -> None:
    path = save(tmp_path, np.array([[0], [1]]), num_nodes=2)
    with pytest.raises(ValueError, match="num_nodes is 2 there, but 3"):
        prepare_graph(path, tmp_path / "g", num_nodes=3)


def test_too_little_memory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory is at least 4096 bytes"):
        prepare_graph(save(tmp_path, hub(10)), tmp_path / "g", memory=100)


def test_force_replaces_graphs_only(tmp_path: Path) -> None:
    path, out = save(tmp_path, np.array([[0], [1]])), tmp_path / "g"
    prepare_graph(path, out)
    with pytest.raises(ValueError, match="is there already"):
        prepare_graph(path, out)
    save(tmp_path, np.array([[0], [2]]))
    prepare_graph(path, out, force=True)
    assert open_csr(out).num_nodes == 3
    assert sorted(os.listdir(tmp_path)) == ["edges.npz", "g"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="no graph on disk"):
        prepare_graph(path, mine, force=True)
    with pytest.raises(ValueError, match="does not exist; create it"):
        prepare_graph(path, tmp_path / "no" / "g")
