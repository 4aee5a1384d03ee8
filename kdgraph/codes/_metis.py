"""One cluster into parts: METIS, and what it leaves undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymetis
from numpy.typing import NDArray
from scipy import sparse

from kdgraph.codes._traps import blocked_signals, hand_on_sigterm, sigterm_kept

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure

    Weighted = sparse.csr_array[np.integer[Any], tuple[int, int]]

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


def split(adj: Weighted, num_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Part of each node, ``int64`` ``[n]``: none empty that could be filled."""
    num_nodes = adj.shape[0]
    # METIS takes 0 and 1 for one seed, so neither is drawn.
    seed = int(rng.integers(2, 1 << 31))
    if num_nodes <= num_parts:
        return np.arange(num_nodes)
    return _fill(_parts(adj, num_parts, seed), num_parts)


def _parts(adj: Weighted, num_parts: int, seed: int) -> NDArray[np.int64]:
    # Recursive bisection is as fast as the direct k-way scheme, and far better balanced
    # on clusters of few nodes and on disconnected ones.
    while True:
        blocked = blocked_signals()
        try:
            with sigterm_kept():
                _, found = pymetis.part_graph(
                    num_parts,
                    pymetis.CSRAdjacency(adj.indptr, adj.indices),
                    eweights=None if adj.dtype == np.int8 else adj.data,
                    recursive=True,
                    options=pymetis.Options(seed=seed),
                )
        except RuntimeError as error:
            if hand_on_sigterm(blocked):
                continue
            # All that METIS says is that it failed.
            raise RuntimeError(
                f"METIS could not cut a cluster of {adj.shape[0]} nodes and "
                f"{adj.nnz // 2} edges, for want of memory or because it was told to "
                "stop; free memory and try again"
            ) from error
        return np.asarray(found, dtype=np.int64)


def _fill(part: NDArray[np.int64], num_parts: int) -> NDArray[np.int64]:
    """Give every empty part a node of the part that is largest then."""
    counts = np.bincount(part, minlength=num_parts)
    for empty in np.flatnonzero(counts == 0):
        largest = int(counts.argmax())
        part[np.flatnonzero(part == largest)[-1]] = empty
        counts[largest] -= 1
        counts[empty] = 1
    return part
