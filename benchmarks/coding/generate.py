"""A power-law graph with communities, as CSR arrays on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 22
_EXPONENT = 2.5
_COMMUNITY = 1000
_INSIDE = 0.7


def generate(folder: Path, num_nodes: int, num_edges: int, seed: int) -> None:
    """Write ``indptr.npy`` and ``indices.npy`` of a symmetric adjacency of ones.

    A degree-corrected planted partition (Karrer and Newman, 2011): both ends of an edge
    are drawn with a probability that falls as a power law, and seven of ten edges
    stay inside a community of a thousand nodes. Loops and repeated edges are dropped,
    and drawing goes on until there are ``num_edges``. Node ids are shuffled, since
    neighbours that lie next to each other in memory would be faster than real ones.

    Memory is 16 bytes per directed edge, and 24 per node.
    """
    rng = np.random.default_rng(seed)
    weight = rng.random(num_nodes) ** (-1.0 / (_EXPONENT - 1.0))
    # A hub has at most as many edges as there are nodes in a few communities.
    total = np.cumsum(np.minimum(weight, _COMMUNITY))
    order = rng.permutation(num_nodes)
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < num_edges:
        missing = num_edges - len(keys)
        drawn = np.empty(missing, dtype=np.int64)
        for start in range(0, missing, _CHUNK):
            part = drawn[start : start + _CHUNK]
            part[:] = _edges(rng, total, order, len(part))
        keys = np.concatenate((keys, drawn))
        del drawn
        keys = _distinct(keys)
        # Loops were given the key of no edge.
        keys = keys[1:] if keys[0] < 0 else keys
    _write(folder, keys, num_nodes)


def _edges(
    rng: np.random.Generator,
    total: NDArray[np.float64],
    order: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    """Keys ``u N + v`` with u < v; -1 for a loop."""
    nodes = len(total)
    one = np.searchsorted(total, rng.random(count) * total[-1], side="right")
    first = one // _COMMUNITY * _COMMUNITY
    last = np.minimum(first + _COMMUNITY, nodes) - 1
    low = np.where(first > 0, total[first - 1], 0.0)
    inside = rng.random(count) < _INSIDE
    low, high = np.where(inside, low, 0.0), np.where(inside, total[last], total[-1])
    place = low + rng.random(count) * (high - low)
    other = np.searchsorted(total, place, side="right")
    one, other = (np.minimum(end, nodes - 1) for end in (one, other))
    one, other = order[one], order[other]
    keys = np.minimum(one, other) * nodes + np.maximum(one, other)
    return np.where(one == other, -1, keys)


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    keys.sort()
    return keys[np.concatenate(([True], keys[1:] != keys[:-1]))]


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
