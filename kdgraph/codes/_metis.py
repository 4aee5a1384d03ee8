"""One cluster into parts: METIS, and what it leaves undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from kdgraph.codes.metis_process import MetisProcess, Weighted
    from kdgraph.codes.structure import Structure

_MEAN_WEIGHT, _MAX_WEIGHT = 1_000, 1_000_000


def integer_weights(adj: Structure) -> Weighted:
    """Weights as METIS takes them: integers from 1, or bytes of 1 where all agree.

    A thousandth of the mean weight is the step, and a thousand times the mean the most.
    """
    data = adj.data
    if data.min() == data.max():
        weights: NDArray[np.integer[Any]] = np.ones(adj.nnz, dtype=np.int8)
    else:
        steps = data * np.float32(_MEAN_WEIGHT / data.mean(dtype=np.float64))
        weights = np.clip(np.rint(steps), 1, _MAX_WEIGHT).astype(np.int32)
    return sparse.csr_array((weights, adj.indices, adj.indptr), shape=adj.shape)


def split(
    metis: MetisProcess, adj: Weighted, num_parts: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Part of each node, ``int64`` ``[n]``: none empty that could be filled."""
    num_nodes = adj.shape[0]
    # METIS takes 0 and 1 for one seed, so neither is drawn.
    seed = int(rng.integers(2, 1 << 31))
    if num_nodes <= num_parts:
        return np.arange(num_nodes)
    return _fill(metis.cut(adj, num_parts, seed), num_parts)


def _fill(part: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    """Give every empty part a node of the part that is largest then."""
    counts = np.bincount(part, minlength=num_parts)
    for empty in np.flatnonzero(counts == 0):
        largest = int(counts.argmax())
        part[np.flatnonzero(part == largest)[-1]] = empty
        counts[largest] -= 1
        counts[empty] = 1
    return part
