"""The raw files of an OGB folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import SPLITS
from kdgraph.data._csv import count_columns, read_ints

EDGES = Path("raw", "edge.csv.gz")
BINARY = Path("raw", "data.npz")


def present(folder: Path, *parts: str | Path) -> Path:
    """Return the path of a file that has to be there.

    Raises:
        FileNotFoundError: If it is not.
    """
    path = folder.joinpath(*parts)
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: {Path(*parts)} missing; add it, or name another folder with "
            "root to download the data set again."
        )
    return path


def text_sizes(folder: Path) -> tuple[int, int | None]:
    """Return the numbers of nodes and, where it is announced, of edges.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is damaged.
    """
    nodes = read_ints(present(folder, "raw", "num-node-list.csv.gz"))
    if nodes.size != 1 or nodes[0, 0] < 1:
        raise ValueError(
            f"{folder}: raw/num-node-list.csv.gz must hold one positive number; copy "
            "or download it again."
        )
    declared = folder / "raw" / "num-edge-list.csv.gz"
    num_edges = int(read_ints(declared).sum()) if declared.is_file() else None
    return int(nodes[0, 0]), num_edges


def check_announced(edges: Path, found: int, announced: int | None) -> None:
    """Check that as many edges were found as are announced.

    Raises:
        ValueError: If not.
    """
    if announced is not None and found != announced:
        raise ValueError(
            f"{edges}: {found} edges found where {announced} are announced in "
            "num-edge-list.csv.gz; copy or download it again."
        )


def text_notes(folder: Path, num_nodes: int) -> tuple[str, ...]:
    """Return a note on the input features, if there are any."""
    width = count_columns(folder / "raw" / "node-feat.csv.gz")
    return (f"input features [{num_nodes}, {width}] dropped",) if width else ()


def read_text_labels(folder: Path) -> NDArray[np.int64]:
    """Read the labels of the nodes."""
    labels: NDArray[np.int64] = read_ints(present(folder, "raw", "node-label.csv.gz"))
    return labels[:, 0]


def binary_sizes(archive: Archive) -> tuple[int, int]:
    """Return the numbers of nodes and of edges of ``data.npz``."""
    archive.require("edge_index", "num_nodes_list")
    edges = archive.header("edge_index")
    num_nodes = int(archive.read("num_nodes_list").sum())
    return num_nodes, edges.shape[-1] if edges.shape else 0


def binary_notes(archive: Archive) -> tuple[str, ...]:
    """Return a note on the input features, if there are any."""
    if "node_feat" not in archive:
        return ()
    shape = list(archive.header("node_feat").shape)
    return (f"input features {shape} dropped",)


def read_binary_labels(folder: Path) -> NDArray[Any]:
    """Read the labels of the nodes, -1 where there is none."""
    with Archive(present(folder, "raw", "node-label.npz")) as archive:
        archive.require("node_label")
        y = archive.read("node_label").reshape(-1)
    if y.dtype.kind == "f":  # unlabelled papers are stored as nan
        y = np.where(np.isnan(y), -1, y).astype(np.int64)
    return y


def read_splits(folder: Path, split: str) -> dict[str, NDArray[Any]]:
    """Read the official split.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is damaged.
    """
    parts = dict(zip(SPLITS, ("train", "valid", "test"), strict=True))
    packed = folder / "split" / split / "split_dict.pt"
    if not packed.is_file():
        return {
            key: read_ints(present(folder, "split", split, f"{part}.csv.gz"))[:, 0]
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
