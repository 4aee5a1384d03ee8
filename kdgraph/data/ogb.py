"""The node property prediction graphs of the Open Graph Benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import SPLITS, assemble
from kdgraph.data._csv import count_columns, read_ints
from kdgraph.data._download import default_root, fetch, is_empty
from kdgraph.data._memory import build_bytes, require_memory
from kdgraph.data._ogb_download import download
from kdgraph.data.graph import Graph


@dataclass(frozen=True)
class _Source:
    folder: str
    split: str
    num_nodes: int
    num_edges: int
    binary: bool = False
    both_ways: bool = False  # stored once per pair, meant in both directions


_SOURCES = {
    "ogbn-arxiv": _Source("ogbn_arxiv", "time", 169_343, 1_166_243),
    "ogbn-products": _Source(
        "ogbn_products", "sales_ranking", 2_449_029, 61_859_140, both_ways=True
    ),
    "ogbn-papers100M": _Source(
        "ogbn_papers100M", "time", 111_059_956, 1_615_685_872, binary=True
    ),
}


def load_ogb(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    directed: bool = False,
) -> Graph:
    """Read an OGB graph with its official split, without its features.

    The raw files are read in place from ``root/ogbn_arxiv`` (or the same folder with
    ``_pyg`` appended, or ``root`` where it has that name); nothing is written beside
    them. Where there are none they are downloaded, for which ``ogb`` must be
    installed.

    Args:
        name: ``'ogbn-arxiv'``, ``'ogbn-products'`` or ``'ogbn-papers100M'``.
        root: Folder of data sets, by default ``$KDGRAPH_DATA`` or
            ``~/.cache/kdgraph``.
        directed: Keep edges one way. ``'ogbn-products'`` is undirected either way.

    Returns:
        The graph.

    Raises:
        FileNotFoundError: If a file is missing, or nothing is there and the download
            fails.
        ValueError: If a file is damaged or the graph would not fit into memory.

    Example:
        >>> load_ogb("ogbn-arxiv").num_nodes  # doctest: +SKIP
        169343
    """
    source = _SOURCES[name]
    base = default_root(root)
    folder = _find(source, base)
    if folder is None:
        folder = base / source.folder
        needed = build_bytes(source.num_nodes, source.num_edges)
        require_memory(needed, name)
        fetch(name, folder, base, lambda staging: download(name, staging))
    read = _read_binary if source.binary else _read_text
    edge_index, y, num_nodes, notes = read(folder)
    splits = _read_splits(folder, source.split)
    return assemble(
        name,
        edge_index,
        y,
        splits,
        num_nodes,
        where=folder,
        directed=directed and not source.both_ways,
        notes=notes,
    )


def _find(source: _Source, base: Path) -> Path | None:
    names = (source.folder, f"{source.folder}_pyg")
    for folder in (base / names[0], base / names[1]):
        if not is_empty(folder):
            return folder
    return base if base.name in names and (base / "raw").is_dir() else None


def _present(folder: Path, *parts: str) -> Path:
    path = folder.joinpath(*parts)
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: {Path(*parts)} missing; add it, or name another folder with "
            "root to download the data set again."
        )
    return path


def _read_text(
    folder: Path,
) -> tuple[NDArray[Any], NDArray[Any], int, tuple[str, ...]]:
    edges = _present(folder, "raw", "edge.csv.gz")
    labels = _present(folder, "raw", "node-label.csv.gz")
    nodes = read_ints(_present(folder, "raw", "num-node-list.csv.gz"))
    if nodes.size != 1 or nodes[0, 0] < 1:
        raise ValueError(
            f"{folder}: raw/num-node-list.csv.gz must hold one positive number; copy "
            "or download it again."
        )
    num_nodes = int(nodes[0, 0])
    declared = folder / "raw" / "num-edge-list.csv.gz"
    num_edges = read_ints(declared) if declared.is_file() else None
    if num_edges is not None:
        require_memory(build_bytes(num_nodes, int(num_edges.sum())), folder)
    edge_index = read_ints(edges, columns=2).T
    if num_edges is not None and edge_index.shape[1] != num_edges.sum():
        raise ValueError(
            f"{edges}: {edge_index.shape[1]} edges found where {num_edges.sum()} are "
            "announced in num-edge-list.csv.gz; copy or download it again."
        )
    width = count_columns(folder / "raw" / "node-feat.csv.gz")
    notes = (f"input features [{num_nodes}, {width}] dropped",) if width else ()
    return edge_index, read_ints(labels)[:, 0], num_nodes, notes


def _read_binary(
    folder: Path,
) -> tuple[NDArray[Any], NDArray[Any], int, tuple[str, ...]]:
    graph = _present(folder, "raw", "data.npz")
    with Archive(_present(folder, "raw", "node-label.npz")) as archive:
        archive.require("node_label")
        y = archive.read("node_label").reshape(-1)
    with Archive(graph) as archive:
        archive.require("edge_index", "num_nodes_list")
        edges = archive.header("edge_index")
        num_nodes = int(archive.read("num_nodes_list").sum())
        num_edges = edges.shape[-1] if edges.shape else 0
        require_memory(build_bytes(num_nodes, num_edges), folder)
        notes: tuple[str, ...] = ()
        if "node_feat" in archive:
            shape = list(archive.header("node_feat").shape)
            notes = (f"input features {shape} dropped",)
        edge_index = archive.read("edge_index")
    if y.dtype.kind == "f":  # unlabelled papers are stored as nan
        y = np.where(np.isnan(y), -1, y).astype(np.int64)
    return edge_index, y, num_nodes, notes


def _read_splits(folder: Path, split: str) -> dict[str, NDArray[Any]]:
    parts = dict(zip(SPLITS, ("train", "valid", "test"), strict=True))
    packed = folder / "split" / split / "split_dict.pt"
    if not packed.is_file():
        return {
            key: read_ints(_present(folder, "split", split, f"{part}.csv.gz"))[:, 0]
            for key, part in parts.items()
        }
    try:
        # Some files hold numpy arrays, which are plain data but not on torch's list.
        types = [np.ndarray, np.dtype, type(np.dtype(np.int64))]
        build: Any = np.empty(0).__reduce__()[0]
        with torch.serialization.safe_globals(
            [build, (build, "numpy.core.multiarray._reconstruct"), *types]
        ):
            found = torch.load(packed, weights_only=True)
        return {key: np.asarray(found[part]) for key, part in parts.items()}
    except Exception as error:
        # A damaged archive, an unexpected type or a missing part.
        raise ValueError(
            f"{packed}: the file does not hold a train, valid and test split; copy or "
            "download it again."
        ) from error
