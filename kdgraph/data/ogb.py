"""The node property prediction graphs of the Open Graph Benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import assemble
from kdgraph.data._csv import read_ints
from kdgraph.data._download import default_root, fetch, is_empty
from kdgraph.data._ogb_download import download
from kdgraph.data._ogb_raw import (
    BINARY,
    EDGES,
    binary_notes,
    binary_sizes,
    check_announced,
    present,
    read_binary_labels,
    read_splits,
    read_text_labels,
    text_notes,
    text_sizes,
)
from kdgraph.data.graph import Graph
from kdgraph.data.memory import build_bytes, require_memory


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
    splits = read_splits(folder, source.split)
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


def stored_both_ways(folder: Path) -> bool:
    """Return whether the graph of a folder is undirected, whatever is asked for."""
    name = folder.resolve().name.removesuffix("_pyg")
    return any(one.both_ways and one.folder == name for one in _SOURCES.values())


def _find(source: _Source, base: Path) -> Path | None:
    names = (source.folder, f"{source.folder}_pyg")
    for folder in (base / names[0], base / names[1]):
        if not is_empty(folder):
            return folder
    return base if base.name in names and (base / "raw").is_dir() else None


def _read_text(
    folder: Path,
) -> tuple[NDArray[Any], NDArray[Any], int, tuple[str, ...]]:
    edges = present(folder, EDGES)
    present(folder, "raw", "node-label.csv.gz")
    num_nodes, num_edges = text_sizes(folder)
    if num_edges is not None:
        require_memory(build_bytes(num_nodes, num_edges), folder)
    edge_index = read_ints(edges, columns=2).T
    check_announced(edges, edge_index.shape[1], num_edges)
    return (
        edge_index,
        read_text_labels(folder),
        num_nodes,
        text_notes(folder, num_nodes),
    )


def _read_binary(
    folder: Path,
) -> tuple[NDArray[Any], NDArray[Any], int, tuple[str, ...]]:
    graph = present(folder, BINARY)
    y = read_binary_labels(folder)
    with Archive(graph) as archive:
        num_nodes, num_edges = binary_sizes(archive)
        require_memory(build_bytes(num_nodes, num_edges), folder)
        return archive.read("edge_index"), y, num_nodes, binary_notes(archive)
