"""Edges in a folder as OGB unpacks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kdgraph.data._archive import Archive
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
from kdgraph.data.disk.npz_source import archive_blocks
from kdgraph.data.disk.source import Block, EdgeSource, settle_num_nodes
from kdgraph.data.disk.text_source import text_blocks
from kdgraph.data.npz import check_edge_header
from kdgraph.data.ogb import stored_both_ways


def ogb_source(folder: Path, num_nodes: int | None = None) -> EdgeSource:
    """Look at a folder with ``raw`` and ``split`` of a node property prediction graph.

    Args:
        folder: Such as ``ogbn_arxiv``; ``ogbn_products`` is undirected by its name.
        num_nodes: N, only to be compared.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is damaged.
    """
    if not (folder / "raw").is_dir():
        raise ValueError(
            f"{folder}: is no folder of OGB, which holds raw and split; name a file of "
            "edges, or such a folder."
        )
    split = _split(folder)
    both_ways = stored_both_ways(folder)
    if (folder / BINARY).is_file():
        path = folder / BINARY
        with Archive(path) as archive:
            stored, num_edges = binary_sizes(archive)
            check_edge_header(archive, stored)
            return EdgeSource(
                files=(path,),
                blocks=lambda size, bound: archive_blocks(path, size, bound),
                num_nodes=settle_num_nodes(stored, num_nodes, path),
                num_edges=num_edges,
                labels=lambda: (
                    {"y": read_binary_labels(folder)} | read_splits(folder, split)
                ),
                notes=binary_notes(archive),
                both_ways=both_ways,
            )
    path = present(folder, EDGES)
    stored, announced = text_sizes(folder)
    return EdgeSource(
        files=(path,),
        blocks=lambda size, bound: _counted(path, size, bound, announced),
        num_nodes=settle_num_nodes(stored, num_nodes, path),
        num_edges=announced,
        labels=lambda: {"y": read_text_labels(folder)} | read_splits(folder, split),
        notes=text_notes(folder, stored),
        both_ways=both_ways,
    )


def _counted(
    path: Path, size: int, num_nodes: int, announced: int | None
) -> Iterator[Block]:
    found = 0
    for edges, done in text_blocks(path, size, num_nodes):
        found += edges.shape[1]
        yield edges, done
    check_announced(path, found, announced)


def _split(folder: Path) -> str:
    at = folder / "split"
    names = sorted(path.name for path in at.iterdir()) if at.is_dir() else []
    if len(names) != 1:
        raise ValueError(
            f"{folder}: split must hold one folder, the official split (got {names}); "
            "add it, or remove the others."
        )
    return names[0]
