"""Edge lists with every nuisance, and what must come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kdgraph.data import build_adjacency, open_csr, verify_graph

TINY = 4096
"""Memory for 256 keys at once, so that many buckets arise and some are split."""


def save(folder: Path, edges: np.ndarray, **more: Any) -> Path:
    """Write edges as an archive."""
    path = folder / "edges.npz"
    np.savez(path, edge_index=edges, **more)
    return path


def check(folder: Path, edges: np.ndarray, num_nodes: int, *, directed: bool) -> None:
    """Compare a folder with the adjacency built in memory."""
    verify_graph(folder)
    csr = open_csr(folder)
    adj = build_adjacency(edges, num_nodes, directed=directed)
    np.testing.assert_array_equal(csr.rowptr, adj.indptr)
    np.testing.assert_array_equal(csr.col, adj.indices)
    assert (csr.rowptr.dtype, csr.col.dtype) == (np.int64, np.int32)
    assert csr.directed == directed
    assert not [path for path in folder.parent.iterdir() if path.name[0] == "."]


def hub(num_edges: int) -> np.ndarray:
    """Most edges into one node, the half of them the same one: no range is even."""
    rng = np.random.default_rng(3)
    edges = rng.integers(0, 300, (2, num_edges))
    edges[1, : num_edges // 2] = 7
    edges[0, : num_edges // 4] = 8
    return edges
