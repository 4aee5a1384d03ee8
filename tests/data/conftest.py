"""Graphs with every nuisance, and the way to real data sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def edge_list() -> tuple[np.ndarray, int]:
    """60 nodes with repeated edges, single and repeated self-loops, and isolation."""
    rng = np.random.default_rng(7)
    edges = rng.integers(0, 50, (2, 150))  # nodes 50 to 59 are isolated
    loops = np.array([[0, 1, 1, 2], [0, 1, 1, 2]])
    return np.concatenate([edges, edges[:, :40], loops], axis=1), 60


@pytest.fixture
def real_root() -> Path:
    """The folder of real data sets, or a skip."""
    chosen = os.environ.get("KDGRAPH_DATA")
    folder = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set KDGRAPH_DATA")
    return folder


@pytest.fixture
def arrays() -> dict[str, Any]:
    """The arrays of a small valid file."""
    return {
        "edge_index": np.array([[0, 1, 2, 2, 3], [1, 2, 0, 2, 4]]),
        "num_nodes": np.array(6),
        "y": np.array([0, 1, 2, 0, -1, 1]),
        "train_idx": np.array([0, 1]),
        "valid_idx": np.array([2]),
        "test_idx": np.array([3, 5]),
    }


@pytest.fixture
def listing() -> Callable[[Path], dict[str, tuple[int, int]]]:
    """A function that lists a folder with sizes and times of change."""

    def walk(folder: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for path in sorted(folder.rglob("*")):
            stat = path.stat()
            found[str(path)] = (stat.st_size, stat.st_mtime_ns)
        return found

    return walk
