"""Edges in an ``.npz`` archive, read without unpacking them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import SPLITS, check_ids
from kdgraph.data.disk.source import Block, EdgeSource, settle_num_nodes
from kdgraph.data.edge_weights import WeightedEdges, check_weights
from kdgraph.data.npz import (
    KEYS,
    WEIGHTS,
    check_edge_header,
    check_keys,
    check_sizes,
    describe_others,
    has_weights,
    label_keys,
    read_num_nodes,
)


def npz_source(
    path: Path, num_nodes: int | None = None, *, unweighted: bool = False
) -> EdgeSource:
    """Look at a file that ``load_npz`` reads, or one of ``edge_index`` alone.

    Args:
        path: The file.
        num_nodes: N, where the file does not say it.
        unweighted: Leave weights aside.

    Raises:
        ValueError: In one sentence that names the file, the fault and the remedy.
    """
    with Archive(path) as archive:
        labelled = label_keys(archive)
        if labelled:
            check_keys(archive)
        elif "edge_index" not in archive:
            raise archive.fault(
                "edge_index missing", "store [2, E] integers under that name"
            )
        stored = read_num_nodes(archive) if "num_nodes" in archive else None
        found = settle_num_nodes(stored, num_nodes, path)
        if labelled and found is not None:
            headers = {key: archive.header(key) for key in KEYS}
            check_sizes(archive, headers, found)
        check_edge_header(archive, found or 0)
        weighted = has_weights(archive, unweighted=unweighted)
        return EdgeSource(
            files=(path,),
            blocks=lambda size, bound: archive_blocks(path, size, bound),
            num_nodes=found,
            num_edges=archive.header("edge_index").shape[1],
            labels=lambda: _labels(path) if labelled else {},
            notes=describe_others(archive, weighted=weighted),
            weights=(
                (lambda size, bound: weighted_blocks(path, size, bound))
                if weighted
                else None
            ),
        )


def archive_blocks(path: Path, size: int, num_nodes: int) -> Iterator[Block]:
    """Read ``edge_index`` of an archive, ``size`` edges at a time.

    Row 1 lies behind all of row 0, so two streams of one array run side by side; an
    array in Fortran order holds the ends of an edge next to each other.
    """
    with Archive(path) as archive:
        total, done = archive.header("edge_index").shape[1], 0
        for edges in _pieces(archive, size):
            check_ids("edge_index", edges, num_nodes, path)
            done += edges.shape[1]
            yield edges.astype(np.int64, copy=False), done / total


def weighted_blocks(path: Path, size: int, num_nodes: int) -> Iterator[WeightedEdges]:
    """Read ``edge_index`` and ``edge_weight``, ``size`` edges at a time."""
    blocks = archive_blocks(path, size, num_nodes)
    with Archive(path) as archive:
        weights = archive.pieces(WEIGHTS, size)
        for (edges, _), weight in zip(blocks, weights, strict=False):
            check_weights(weight, edges.shape[1], path)
            yield edges, weight


def _pieces(archive: Archive, size: int) -> Iterator[NDArray[Any]]:
    header = archive.header("edge_index")
    if header.fortran_order:
        for pairs in archive.pieces("edge_index", 2 * size):
            yield pairs.reshape(-1, 2).T
        return
    targets = archive.pieces("edge_index", size, skip=header.shape[1])
    sources = archive.pieces("edge_index", size)
    # Targets first: where they end, no sources are asked for.
    for target, source in zip(targets, sources, strict=False):
        yield np.stack([source[: target.size], target])


def _labels(path: Path) -> dict[str, NDArray[Any]]:
    with Archive(path) as archive:
        return {key: archive.read(key) for key in ("y", *SPLITS)}
