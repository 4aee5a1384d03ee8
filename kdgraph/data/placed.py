"""Graphs read from files that were put there beforehand: nothing is downloaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import loadmat

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import SPLITS, assemble
from kdgraph.data._download import default_root, find_placed
from kdgraph.data.graph import Graph
from kdgraph.data.npz import load_npz


def load_placed(name: str, root: str | os.PathLike[str] | None = None) -> Graph:
    """Read an undirected graph from its place under ``root``, without its features.

    =================  =============================================================
    ``dblp``           ``dblp/dblp.npz``, as ``load_npz`` takes it
    ``blogcatalog``    ``blogcatalog/blogcatalog.npz``, likewise; many labels per node
    ``pos-wikipedia``  ``pos_wikipedia/pos_wikipedia.npz``, likewise, without weights
    ``lastfm-asia``    ``lastfm_asia/raw/lastfm_asia.npz`` of PyG's ``LastFMAsia``, and
                       ``lastfm_asia/split.npz`` with the split
    ``github``         ``github/raw/github.npz`` of PyG's ``GitHub``, and
                       ``github/split.npz`` with the split
    ``tolokers``       ``heterophilous/tolokers/raw/tolokers.npz`` of PyG's
                       ``HeterophilousGraphDataset``; the first of its ten splits
    ``minesweeper``    ``heterophilous/minesweeper/raw/minesweeper.npz``, likewise
    ``cornell5``       ``linkx/cornell5/raw/data.mat`` of PyG's ``LINKXDataset``; the
                       label is the gender, -1 where unknown, and 50 / 25 / 25 % of the
                       labelled nodes are drawn with seed 0
    =================  =============================================================

    Args:
        name: One of the names above.
        root: Folder of data sets, by default ``$KDGRAPH_DATA`` or
            ``~/.cache/kdgraph``.

    Returns:
        The graph.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged or holds something else.

    Example:
        >>> load_placed("lastfm-asia").num_nodes  # doctest: +SKIP
        7624
    """
    source = PLACED[name]
    path = find_placed(name, default_root(root), source.path, source.form)
    return source.read(name, path)


def _read_plain(name: str, path: Path) -> Graph:
    # What is published of these graphs counts every edge once.
    return dataclasses.replace(load_npz(path, unweighted=True), name=name)


def _read_social(name: str, path: Path) -> Graph:
    with Archive(path) as archive:
        edges, y, notes = _read_arrays(archive, "edges", "target", "features")
    form = f"an .npz with {', '.join(SPLITS)}"
    with Archive(find_placed(name, path.parents[1], "split.npz", form)) as archive:
        archive.require(*SPLITS)
        splits = {key: archive.read(key) for key in SPLITS}
    return assemble(name, edges, y, splits, len(y), where=path, notes=notes)


def _read_masks(name: str, path: Path) -> Graph:
    with Archive(path) as archive:
        edges, y, notes = _read_arrays(archive, "edges", "node_labels", "node_features")
        masks = ("train_masks", "val_masks", "test_masks")
        archive.require(*masks)
        splits = {}
        for key, mask in zip(SPLITS, masks, strict=True):
            header = archive.header(mask)
            fits = header.shape[1:] == (len(y),) and header.shape[0] > 0
            if header.dtype.kind != "b" or not fits:
                raise archive.fault(
                    f"{mask} must hold booleans of shape [10, {len(y)}] (got "
                    f"{header.dtype} of shape {list(header.shape)})",
                    "copy or download it again",
                )
            splits[key] = np.flatnonzero(archive.read(mask)[0])
    notes += ("first of the stored splits",)
    return assemble(name, edges, y, splits, len(y), where=path, notes=notes)


def _read_arrays(
    archive: Archive, edges: str, labels: str, features: str
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...]]:
    archive.require(edges, labels)
    shape = archive.header(edges).shape
    if len(shape) != 2 or shape[1] != 2 or len(archive.header(labels).shape) != 1:
        raise archive.fault(
            f"{edges} must have shape [E, 2] (got {list(shape)}) and {labels} shape "
            f"[N] (got {list(archive.header(labels).shape)})",
            "copy or download it again",
        )
    given = archive.header(features).shape if features in archive else ()
    notes = (f"input features {list(given)} dropped",) if 0 not in given[1:] else ()
    return archive.read(edges).T, archive.read(labels), notes if given else ()


def _read_gender(name: str, path: Path) -> Graph:
    try:
        found = loadmat(path)
        adj = sparse.coo_array(found["A"])
        info = np.asarray(found["local_info"])
        y = info[:, 1].astype(np.int64) - 1
    except Exception as error:
        # A damaged file may raise anything.
        raise ValueError(
            f"{path}: the file does not hold a matrix A and a table local_info; copy "
            "or download it again."
        ) from error
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(y >= 0))
    parts = np.split(drawn, [len(drawn) // 2, len(drawn) * 3 // 4])
    return assemble(
        name,
        np.stack([adj.col, adj.row]),
        y,
        dict(zip(SPLITS, parts, strict=True)),
        adj.shape[0],
        where=path,
        notes=(
            f"input features {list(info.shape)} dropped",
            "split drawn with seed 0: 50 / 25 / 25 % of the labelled nodes",
        ),
    )


@dataclass(frozen=True)
class _Source:
    path: str
    form: str
    read: Callable[[str, Path], Graph]


def _plain(path: str) -> _Source:
    return _Source(path, "a graph in the format of 'load_npz'", _read_plain)


def _pyg(path: str, dataset: str, read: Callable[[str, Path], Graph]) -> _Source:
    return _Source(path, f"the raw file of PyG's {dataset}", read)


_HETEROPHILOUS = "HeterophilousGraphDataset"
PLACED = {
    "dblp": _plain("dblp/dblp.npz"),
    "blogcatalog": _plain("blogcatalog/blogcatalog.npz"),
    "pos-wikipedia": _plain("pos_wikipedia/pos_wikipedia.npz"),
    "lastfm-asia": _pyg("lastfm_asia/raw/lastfm_asia.npz", "LastFMAsia", _read_social),
    "github": _pyg("github/raw/github.npz", "GitHub", _read_social),
    "tolokers": _pyg(
        "heterophilous/tolokers/raw/tolokers.npz", _HETEROPHILOUS, _read_masks
    ),
    "minesweeper": _pyg(
        "heterophilous/minesweeper/raw/minesweeper.npz", _HETEROPHILOUS, _read_masks
    ),
    "cornell5": _pyg("linkx/cornell5/raw/data.mat", "LINKXDataset", _read_gender),
}
"""Where each data set lies, in which form, and what reads it."""
