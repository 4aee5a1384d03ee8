"""Cora, CiteSeer and PubMed from their raw files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kdgraph.data._assemble import assemble
from kdgraph.data._download import default_root, fetch
from kdgraph.data.graph import Graph

_NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


def load_planetoid(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    directed: bool = False,
) -> Graph:
    """Read a citation graph with its public split, without its features.

    The eight raw files are read in place from ``root/planetoid/Cora/raw``,
    ``root/Cora/raw``, ``root/raw`` or ``root`` itself. They are pickles, PyG's own
    format for these data sets: point ``root`` only at files you trust. Where there
    are none, PyG downloads them to ``root/planetoid``.

    Args:
        name: ``'cora'``, ``'citeseer'`` or ``'pubmed'``.
        root: Folder of data sets, by default ``$KDGRAPH_DATA`` or
            ``~/.cache/kdgraph``.
        directed: Keep edges as they are stored; these graphs are stored both ways.

    Returns:
        The graph.

    Raises:
        FileNotFoundError: If a file is missing, or nothing is there and the download
            fails.
        ValueError: If a file is damaged.

    Example:
        >>> load_planetoid("cora")  # doctest: +SKIP
        Graph('cora', num_nodes=2708, num_edges=10556, num_classes=7, directed=False)
    """
    name = name.lower()
    base = default_root(root)
    raw = _find(name, base)
    if raw is None:
        target = base / "planetoid" / _NAMES[name]
        fetch(name, target, base, lambda folder: _download(name, folder))
        raw = target / "raw"
    data = _read(name, raw)
    num_nodes = int(data.y.size(0))
    return assemble(
        name,
        data.edge_index.numpy(),
        data.y.numpy(),
        {
            "train_idx": np.flatnonzero(data.train_mask.numpy()),
            "valid_idx": np.flatnonzero(data.val_mask.numpy()),
            "test_idx": np.flatnonzero(data.test_mask.numpy()),
        },
        num_nodes,
        where=raw,
        directed=directed,
        notes=(f"input features {list(data.x.shape)} dropped",),
    )


def _files(name: str) -> list[str]:
    return [f"ind.{name}.{part}" for part in _PARTS]


def _find(name: str, base: Path) -> Path | None:
    """Return the raw folder with all files, None where no folder has any."""
    pretty = _NAMES[name]
    folders = [
        base / group / folder / "raw"
        for group in ("planetoid", "Planetoid", "")
        for folder in (pretty, name)
    ]
    partial: tuple[Path, list[str]] | None = None
    for folder in (*folders, base / "raw", base):
        missing = [file for file in _files(name) if not (folder / file).is_file()]
        if not missing:
            return folder
        if len(missing) < len(_PARTS) and partial is None:
            partial = folder, missing
    if partial is not None:
        raise FileNotFoundError(
            f"{partial[0]}: {', '.join(partial[1])} missing; add it, or name another "
            f"folder with root to download {name} again."
        )
    return None


def _read(name: str, raw: Path) -> Any:
    # PyG ships no type information, so its data object is opaque to a checker.
    from torch_geometric.io import (  # type: ignore[import-untyped, unused-ignore]
        read_planetoid_data,
    )

    try:
        with warnings.catch_warnings():
            # The pickles name modules numpy and scipy have since moved.
            warnings.simplefilter("ignore")
            return read_planetoid_data(str(raw), name)
    except Exception as error:
        # A damaged pickle may raise anything.
        raise ValueError(
            f"{raw}: the files of {name} are damaged; copy or download them again."
        ) from error


def _download(name: str, folder: Path) -> Path:
    from torch_geometric.datasets import (  # type: ignore[import-untyped, unused-ignore]
        Planetoid,
    )

    Planetoid(str(folder), _NAMES[name])
    return folder / _NAMES[name]
