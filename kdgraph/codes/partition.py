"""Clusters of clusters: hierarchical partitions of a graph as codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdgraph.codes._metis import integer_weights, split
from kdgraph.codes.hierarchy import Partition, check_levels
from kdgraph.codes.metis_process import MetisProcess
from kdgraph.codes.prefix import Kind
from kdgraph.codes.structure import read_structure
from kdgraph.codes.table import CodeTable
from kdgraph.ops import MAX_CODEBOOK_SIZE

if TYPE_CHECKING:
    from kdgraph.codes.metis_process import Weighted

Progress = Callable[[float, str], None]


def partition_codes(
    adj: object,
    branching: Sequence[int] = (16, 16),
    *,
    kind: Kind = "levels",
    seed: int = 0,
    progress: Progress | None = None,
) -> CodeTable:
    r"""Codes from a hierarchical partition: nodes that share edges share codes.

    The graph is cut into :math:`b_1` clusters, each of them into :math:`b_2`, and so
    on, every time with few edges between clusters of about equal size. ``"levels"``
    names the cluster on each level, so each has a codeword of its own, K and
    :math:`K^2` and so on of them: PosHashEmb (Kalantzi and Karypis, 2021). ``"digits"``
    names the child within its parent; all parents share the codewords of a level.

    Costs what :func:`partition_graph` does.

    Args:
        adj: Square sparse adjacency; direction is ignored, weights are respected.
        branching: Children per cluster, one number per level.
        kind: ``"levels"`` or ``"digits"``.
        seed: The same seed gives the same codes, another one another partition.
        progress: Called with the fraction done and the name of the stage.

    Raises:
        TypeError: An adjacency that is not sparse, or branching not of integers.
        ValueError: Another kind, more clusters than nodes, or what
            :func:`read_structure <kdgraph.codes.structure.read_structure>` refuses.

    Example:
        >>> from kdgraph.data import sbm
        >>> adj = sbm(num_nodes=500, seed=0).adj
        >>> partition_codes(adj, (4, 4))
        CodeTable(500, codebook_sizes=(4, 16))
        >>> partition_codes(adj, (4, 4), kind="digits")
        CodeTable(500, codebook_sizes=(4, 4))
    """
    if kind not in ("levels", "digits"):
        raise ValueError(
            f"partition_codes expects kind 'levels' or 'digits', got {kind!r}"
        )
    if kind == "levels":
        check_levels(branching)  # before the graph is cut, which may take minutes
    found = partition_graph(adj, branching, seed=seed, progress=progress)
    return found.levels() if kind == "levels" else found.digits()


def partition_graph(
    adj: object,
    branching: Sequence[int] = (16, 16),
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Partition:
    r"""Cut a graph into clusters, and each cluster again.

    Every cut is a recursive bisection by METIS (Karypis and Kumar, SIAM J. Sci. Comput.
    1998), which keeps parts within a few nodes of each other in size. A cluster of
    fewer nodes than :math:`b_l` puts each into a child of its own; otherwise no cluster
    stays empty. Nodes without edges fill the clusters up.

    Time is about :math:`O(E \sum_l \log b_l)`: on one core 3 s for 170,000 nodes, 1.2 M
    edges and (16, 16, 16), 50 s for 1 M nodes and 5 M edges. Memory is about 140 bytes
    per stored entry of the adjacency, most of it in the process that METIS runs in,
    which ends with the call.

    Args:
        adj: Square sparse adjacency; direction is ignored, weights are respected.
        branching: Children per cluster, one number per level.
        seed: The same seed gives the same clusters, another one others.
        progress: Called with the fraction done and the name of the stage.

    Raises:
        TypeError: An adjacency that is not sparse, or branching not of integers.
        ValueError: More clusters than nodes, or what
            :func:`read_structure <kdgraph.codes.structure.read_structure>` refuses.
        RuntimeError: METIS ran out of memory, or its process could not be started or
            was killed.

    Example:
        >>> from kdgraph.data import sbm
        >>> found = partition_graph(sbm(num_nodes=600, seed=0).adj, (2, 3))
        >>> np.diff(found.boundaries).tolist()
        [100, 100, 100, 100, 100, 100]
    """
    structure = read_structure(adj, "partition_graph")
    num_nodes = structure.shape[0]
    sizes = _check_branching(branching, num_nodes)
    rng = np.random.default_rng(seed)
    leaves = np.zeros(num_nodes, dtype=np.int64)
    steps, done = num_nodes * len(sizes), 0

    def descend(cluster: Weighted, nodes: NDArray[np.int64], level: int) -> None:
        nonlocal done
        size = sizes[level]
        part = split(metis, cluster, size, rng)
        leaves[nodes] += part * math.prod(sizes[level + 1 :])
        done += nodes.size
        if progress is not None:
            progress(done / steps, "partition")
        if level + 1 == len(sizes):
            return
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(size + 1))
        for start, stop in pairwise(bounds):
            if stop > start:
                rows = order[start:stop]
                descend(cluster[rows][:, rows], nodes[rows], level + 1)

    with MetisProcess() as metis:
        descend(integer_weights(structure), np.arange(num_nodes), 0)
    counts = np.bincount(leaves, minlength=math.prod(sizes))
    return Partition(
        order=np.argsort(leaves, kind="stable"),
        boundaries=np.concatenate([[0], np.cumsum(counts)]),
        branching=sizes,
    )


def _check_branching(branching: Sequence[int], num_nodes: int) -> tuple[int, ...]:
    sizes = tuple(branching)
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(
                f"partition_graph expects integers as branching, got {size!r}"
            )
    if not sizes or min(sizes) < 2 or max(sizes) > MAX_CODEBOOK_SIZE:
        raise ValueError(
            f"partition_graph expects a branching of one level or more, each with 2 to "
            f"{MAX_CODEBOOK_SIZE} children, got {sizes}"
        )
    clusters = math.prod(int(size) for size in sizes)
    if clusters > num_nodes:
        raise ValueError(
            f"partition_graph expects no more clusters than nodes, got {clusters} "
            f"clusters for {num_nodes} nodes; use a smaller branching"
        )
    return tuple(int(size) for size in sizes)
