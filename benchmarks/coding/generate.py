"""A power-law graph with communities, as CSR arrays on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.power_law import PowerLaw

_CHUNK = 1 << 22


def generate(folder: Path, num_nodes: int, num_edges: int, seed: int) -> None:
    """Write ``indptr.npy`` and ``indices.npy`` of a symmetric adjacency of ones.

    The graph is that of :class:`benchmarks.power_law.PowerLaw`, with ``num_edges``
    undirected edges. Memory is 16 bytes per directed edge, and 24 per node.
    """
    graph = PowerLaw(num_nodes, np.random.default_rng(seed))
    _write(folder, graph.edges(num_edges), num_nodes)


def _write(folder: Path, keys: NDArray[np.int64], nodes: int) -> None:
    edges = len(keys)
    both = np.empty(2 * edges, dtype=np.int64)
    both[:edges] = keys
    for start in range(0, edges, _CHUNK):
        part = keys[start : start + _CHUNK]
        both[edges + start : edges + start + len(part)] = (
            part % nodes * nodes + part // nodes
        )
    del keys
    both.sort()
    bounds = np.arange(nodes + 1, dtype=np.int64) * nodes
    np.save(folder / "indptr.npy", np.searchsorted(both, bounds).astype(np.int32))
    np.remainder(both, nodes, out=both)
    np.save(folder / "indices.npy", both.astype(np.int32))
