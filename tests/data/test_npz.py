from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph.data import load_graph
from kdgraph.data import memory as _memory

Arrays = dict[str, Any]


def save(folder: Path, arrays: Arrays) -> Path:
    path = folder / "toy.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_reads_a_graph(tmp_path: Path, arrays: Arrays) -> None:
    graph = load_graph(save(tmp_path, arrays))
    dense = np.zeros((6, 6))
    for u, v in arrays["edge_index"].T.tolist():
        dense[u, v] = dense[v, u] = 1
    np.testing.assert_array_equal(graph.adj.toarray(), dense)
    assert (graph.name, graph.num_nodes, graph.num_classes) == ("toy", 6, 3)
    assert graph.y.tolist() == [0, 1, 2, 0, -1, 1]
    assert graph.test_idx.tolist() == [3, 5]
    assert (graph.metric, graph.notes, graph.directed) == ("accuracy", (), False)


def test_directed(tmp_path: Path, arrays: Arrays) -> None:
    graph = load_graph(str(save(tmp_path, arrays)), directed=True)
    dense = np.zeros((6, 6))
    dense[arrays["edge_index"][1], arrays["edge_index"][0]] = 1
    np.testing.assert_array_equal(graph.adj.toarray(), dense)
    assert graph.directed


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", ">i8"])
def test_every_integer_type(tmp_path: Path, arrays: Arrays, dtype: str) -> None:
    expected = load_graph(save(tmp_path, arrays)).fingerprint()
    for key in set(arrays) - {"y"}:
        arrays[key] = arrays[key].astype(dtype)
    if "u" not in dtype:
        arrays["y"] = arrays["y"].astype(dtype)
    assert load_graph(save(tmp_path, arrays)).fingerprint() == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"edge_index": np.zeros((2, 0), dtype=np.int64)},
        {"edge_index": np.zeros((2, 0))},
    ],
)
def test_no_edges(tmp_path: Path, arrays: Arrays, changes: Arrays) -> None:
    assert load_graph(save(tmp_path, {**arrays, **changes})).num_edges == 0


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_multi_label(tmp_path: Path, arrays: Arrays, dtype: str) -> None:
    y = np.array([[0, 1], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0]])
    graph = load_graph(save(tmp_path, {**arrays, "y": y.astype(dtype)}))
    assert (graph.metric, graph.num_classes) == ("micro-f1", 2)
    assert graph.y.dtype == torch.float32
    assert graph.y.tolist() == y.tolist()


def test_leniency(tmp_path: Path, arrays: Arrays) -> None:
    expected = load_graph(save(tmp_path, arrays)).fingerprint()
    arrays["y"] = arrays["y"].astype(np.float64)
    arrays["num_nodes"] = arrays["num_nodes"].reshape(1)
    arrays["edge_index"] = np.asfortranarray(arrays["edge_index"])
    assert load_graph(save(tmp_path, arrays)).fingerprint() == expected


def test_one_class_in_training(tmp_path: Path, arrays: Arrays) -> None:
    assert (
        load_graph(save(tmp_path, {**arrays, "y": np.zeros(6, int)})).num_classes == 1
    )


def test_other_keys_are_ignored_and_noted(tmp_path: Path, arrays: Arrays) -> None:
    expected = load_graph(save(tmp_path, arrays)).fingerprint()
    arrays["x"] = np.zeros((6, 3))
    arrays["names"] = np.array([None] * 5)  # pickled, and never looked at
    arrays["edge_attr"] = np.zeros((5, 2))
    graph = load_graph(save(tmp_path, arrays))
    assert graph.notes == (
        "input features [6, 3] dropped",
        "not used: edge_attr, names",
    )
    assert graph.fingerprint() == expected


E64 = 2**64 - 1
BAD: dict[str, tuple[Arrays, str]] = {
    "edges-transposed": ({"edge_index": np.zeros((5, 2), int)}, r"\[2, E\].*transpose"),
    "edges-flat": ({"edge_index": np.zeros(4, int)}, r"edge_index.*\[2, E\]"),
    "edges-0d": ({"edge_index": np.array(3)}, r"edge_index.*\[2, E\]"),
    "edges-float": ({"edge_index": np.zeros((2, 3))}, "edge_index.*integers.*float64"),
    "edges-bool": ({"edge_index": np.zeros((2, 3), bool)}, "edge_index.*integers"),
    "edges-complex": ({"edge_index": np.zeros((2, 3), complex)}, "edge_index.*complex"),
    "edges-string": ({"edge_index": np.array([["0"], ["1"]])}, "edge_index.*integers"),
    "edges-date": ({"edge_index": np.zeros((2, 1), "M8[s]")}, "edge_index.*integers"),
    "edges-record": ({"edge_index": np.zeros((2, 1), "i4,i4")}, "edge_index.*integers"),
    "edges-object": (
        {"edge_index": np.array([[0], [1]], dtype=object)},
        "edge_index.*objects",
    ),
    "edges-high": ({"edge_index": np.array([[0], [6]])}, "edge_index.* 6,.*0 to 5"),
    "edges-negative": ({"edge_index": np.array([[0], [-3]])}, "edge_index.* -3,"),
    "edges-overflow": (
        {"edge_index": np.array([[0], [E64]], dtype=np.uint64)},
        f"edge_index.* {E64},",
    ),
    "nodes-zero": ({"num_nodes": np.array(0)}, "num_nodes.*positive.*0"),
    "nodes-negative": ({"num_nodes": np.array(-4)}, "num_nodes.*positive.*-4"),
    "nodes-float": ({"num_nodes": np.array(6.0)}, "num_nodes.*integers"),
    "nodes-bool": ({"num_nodes": np.array(True)}, "num_nodes.*integers"),
    "nodes-string": ({"num_nodes": np.array("6")}, "num_nodes.*integers"),
    "nodes-list": ({"num_nodes": np.array([6, 6])}, "num_nodes.*single number"),
    "nodes-object": ({"num_nodes": np.array(6, dtype=object)}, "num_nodes.*objects"),
    "nodes-small": ({"num_nodes": np.array(5)}, r"y must have shape \[5\].*\[6\]"),
    "nodes-large": ({"num_nodes": np.array(7)}, r"y must have shape \[7\].*\[6\]"),
    "nodes-huge": ({"num_nodes": np.array(E64, dtype=np.uint64)}, "y must have shape"),
    "y-short": ({"y": np.zeros(5, int)}, r"y must have shape \[6\]"),
    "y-0d": ({"y": np.array(1)}, "y must have shape"),
    "y-3d": ({"y": np.zeros((6, 1, 1), int)}, "y must have shape"),
    "y-no-columns": ({"y": np.zeros((6, 0), int)}, "y must have shape"),
    "y-nan": ({"y": np.array([0, 1, np.nan, 0, 1, 1])}, "y holds nan.*-1"),
    "y-inf": ({"y": np.array([0, 1, np.inf, 0, 1, 1])}, "y holds inf"),
    "y-fraction": ({"y": np.array([0, 1, 0.5, 0, 1, 1])}, "y holds 0.5.*integer"),
    "y-negative": ({"y": np.array([0, 1, -2, 0, 1, 1])}, "y holds -2"),
    "y-bool": ({"y": np.zeros(6, bool)}, "y must hold integers.*bool"),
    "y-complex": ({"y": np.zeros(6, complex)}, "y must hold integers.*complex"),
    "y-string": ({"y": np.array(list("abcabc"))}, "y must hold integers"),
    "y-object": ({"y": np.array([0, 1, None, 0, 1, 1])}, "y holds Python objects"),
    "y-huge": ({"y": np.array([0, 10**15, 0, 0, 0, 0])}, f"class id {10**15}"),
    "y-overflow": (
        {"y": np.array([0, E64, 0, 0, 0, 0], dtype=np.uint64)},
        f"class id {E64}",
    ),
    "many-two": ({"y": np.full((6, 2), 2)}, "y of shape.*zeros and ones.*2"),
    "many-minus": ({"y": np.full((6, 2), -1)}, "y of shape.*zeros and ones.*-1"),
    "many-half": ({"y": np.full((6, 2), 0.5)}, "y of shape.*zeros and ones.*0.5"),
    "many-nan": ({"y": np.full((6, 2), np.nan)}, "y holds nan"),
    "many-complex": ({"y": np.zeros((6, 2), complex)}, "y must hold integers"),
    "train-empty": ({"train_idx": np.zeros(0, int)}, "train_idx is empty"),
    "valid-empty": ({"valid_idx": np.zeros(0)}, "valid_idx is empty"),
    "test-empty": ({"test_idx": np.zeros(0, int)}, "test_idx is empty"),
    "split-float": ({"train_idx": np.array([0.0])}, "train_idx.*integers"),
    "split-mask": ({"train_idx": np.ones(6, bool)}, "train_idx.*flatnonzero"),
    "split-long-mask": ({"train_idx": np.ones(9, bool)}, "train_idx.*flatnonzero"),
    "split-string": ({"valid_idx": np.array(["0"])}, "valid_idx.*integers"),
    "split-complex": ({"valid_idx": np.zeros(1, complex)}, "valid_idx.*integers"),
    "split-object": ({"valid_idx": np.array([2], dtype=object)}, "valid_idx.*objects"),
    "split-0d": ({"valid_idx": np.array(2)}, "valid_idx.*one-dimensional"),
    "split-2d": ({"valid_idx": np.array([[2]])}, "valid_idx.*one-dimensional"),
    "split-high": ({"valid_idx": np.array([6])}, "valid_idx.* 6,"),
    "split-negative": ({"valid_idx": np.array([-1])}, "valid_idx.* -1,"),
    "split-overflow": (
        {"valid_idx": np.array([E64], dtype=np.uint64)},
        f"valid_idx.* {E64},",
    ),
    "split-twice": ({"valid_idx": np.array([2, 2])}, "valid_idx.* 2 more than once"),
    "split-long": ({"valid_idx": np.full(9, 2)}, "valid_idx.*duplicates"),
    "overlap": ({"test_idx": np.array([3, 1])}, "train_idx and test_idx both.* 1;"),
    "unlabelled": ({"test_idx": np.array([3, 4])}, "test_idx.* 4, .*unlabelled"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_malformed_arrays(tmp_path: Path, arrays: Arrays, name: str) -> None:
    changes, text = BAD[name]
    check_fault(save(tmp_path, {**arrays, **changes}), text)


def check_fault(path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        load_graph(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert ";" in message
    assert message.endswith(".")
    assert ". " not in message


@pytest.mark.parametrize(
    "key", ["edge_index", "num_nodes", "y", "train_idx", "valid_idx", "test_idx"]
)
def test_missing_key(tmp_path: Path, arrays: Arrays, key: str) -> None:
    del arrays[key]
    check_fault(save(tmp_path, arrays), f": {key} missing")


def test_masks_only(tmp_path: Path, arrays: Arrays) -> None:
    for part, mask in (("train", "train"), ("valid", "val"), ("test", "test")):
        ids = arrays.pop(f"{part}_idx")
        arrays[f"{mask}_mask"] = np.isin(np.arange(6), ids)
    text = "train_idx, valid_idx, test_idx missing.*flatnonzero"
    check_fault(save(tmp_path, arrays), text)


def missing(folder: Path, data: bytes) -> Path:
    return folder / "none.npz"


def folder_of_that_name(folder: Path, data: bytes) -> Path:
    (folder / "folder.npz").mkdir()
    return folder / "folder.npz"


def empty(folder: Path, data: bytes) -> Path:
    (folder / "empty.npz").write_bytes(b"")
    return folder / "empty.npz"


def text_file(folder: Path, data: bytes) -> Path:
    (folder / "text.npz").write_text("source,target\n0,1\n")
    return folder / "text.npz"


def single_array(folder: Path, data: bytes) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    (folder / "single.npz").write_bytes(buffer.getvalue())
    return folder / "single.npz"


def truncated(folder: Path, data: bytes) -> Path:
    (folder / "half.npz").write_bytes(data[: len(data) // 2])
    return folder / "half.npz"


def pickled(folder: Path, data: bytes) -> Path:
    import pickle

    (folder / "pickle.npz").write_bytes(pickle.dumps({"y": 1}))
    return folder / "pickle.npz"


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (missing, "does not exist"),
        (folder_of_that_name, "is a folder"),
        (empty, "is empty"),
        (text_file, "not an .npz"),
        (single_array, "single array"),
        (truncated, "truncated or damaged"),
        (pickled, "not an .npz"),
    ],
)
def test_not_an_archive(
    tmp_path: Path, arrays: Arrays, spoil: Callable[[Path, bytes], Path], text: str
) -> None:
    check_fault(spoil(tmp_path, save(tmp_path, arrays).read_bytes()), text)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("key", ["edge_index", "num_nodes", "y", "valid_idx"])
def test_damaged_values(
    tmp_path: Path, arrays: Arrays, key: str, compress: bool
) -> None:
    path = tmp_path / "toy.npz"
    (np.savez_compressed if compress else np.savez)(path, **arrays)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
    data = bytearray(path.read_bytes())
    name_length = int.from_bytes(data[info.header_offset + 26 :][:2], "little")
    extra_length = int.from_bytes(data[info.header_offset + 28 :][:2], "little")
    start = info.header_offset + 30 + name_length + extra_length
    data[start + info.compress_size - 2] ^= 0xFF
    path.write_bytes(data)
    check_fault(path, f"{key} is truncated or damaged")


def rewrite(path: Path, key: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[f"{key}.npy"] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def header(shape: tuple[int, ...], descr: str = "<i8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(2, 10**13), (2, 4), (2, 6), (2, -1), (-2, -5)])
def test_a_header_that_lies(
    tmp_path: Path, arrays: Arrays, shape: tuple[int, ...]
) -> None:
    path = save(tmp_path, arrays)
    rewrite(path, "edge_index", header(shape) + arrays["edge_index"].tobytes())
    check_fault(path, "edge_index is truncated or damaged")


@pytest.mark.parametrize("content", [b"", b"no array at all", b"\x93NUMPY\x01\x00"])
def test_a_member_that_is_no_array(
    tmp_path: Path, arrays: Arrays, content: bytes
) -> None:
    path = save(tmp_path, arrays)
    rewrite(path, "y", content)
    check_fault(path, "y is truncated or damaged")


def test_more_than_the_memory_at_hand(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, arrays)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100)
    check_fault(path, "GB of memory")


def test_the_file_is_closed_and_untouched(
    tmp_path: Path,
    arrays: Arrays,
    listing: Callable[[Path], dict[str, tuple[int, int]]],
) -> None:
    path = save(tmp_path, arrays)
    before = listing(tmp_path)
    load_graph(path)
    assert listing(tmp_path) == before
    path.rename(tmp_path / "moved.npz")


def test_multi_label_file(real_root: Path) -> None:
    path = real_root / "blogcatalog" / "blogcatalog.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    graph = load_graph(path)
    assert (graph.num_nodes, graph.num_edges) == (10_312, 2 * 333_983)
    assert (graph.metric, graph.num_classes) == ("micro-f1", 39)


def test_file_with_self_loops(real_root: Path) -> None:
    path = real_root / "pos_wikipedia" / "pos_wikipedia.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    graph = load_graph(path)
    assert graph.num_edges == 2 * (92_517 - 222) + 222
    # They have weights, as all edges of this file have.
    assert np.count_nonzero(graph.adj.diagonal()) == 222
