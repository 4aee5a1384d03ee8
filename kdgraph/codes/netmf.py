"""NetMF: what DeepWalk factorises, in closed form, for small graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes.diffusion import check_steps, degrees, smooth
from kdgraph.codes.progress import Progress, part
from kdgraph.codes.scaled import ScaledAdjacency
from kdgraph.codes.structure import read_structure
from kdgraph.codes.subspace import factorise, flat, random_panels

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure

_COLUMNS = 256


def netmf_vectors(
    adj: object,
    dim: int = 128,
    *,
    window: int = 10,
    negative: float = 1.0,
    smoothing: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""Factorise the matrix that DeepWalk samples from.

    "Network Embedding as Matrix Factorization" (Qiu et al., WSDM 2018), algorithm 3:
    :math:`U \Sigma^{1/2}` of the truncated SVD of

    .. math::
        \ln \max\Bigl(1, \frac{\mathrm{vol}(G)}{b T}
        \sum_{r=1}^{T} (D^{-1} A)^r D^{-1} \Bigr).

    Cost is :math:`O(T E N + N^2 C)`; memory one dense float array ``[N, N]``: 400 MB
    for 10,000 nodes.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        dim: Width of a vector C. (default: ``128``)
        window: Steps of the walk T. (default: ``10``)
        negative: Negative samples b. (default: ``1.0``)
        smoothing: Steps of a lazy random walk afterwards; see :func:`prone_vectors`.
            (default: ``0``)
        seed: Of the randomised SVD. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        ``[N, C]`` float32; isolated nodes are zero, and so are columns beyond the rank.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, or sizes out of range.

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((4, 4)), np.ones((6, 6))))
        >>> vectors = netmf_vectors(graph, dim=2)
        >>> bool((vectors[:4] @ vectors[4:].T).abs().max() < 1e-3)
        True
    """
    graph = read_structure(adj, "netmf_vectors")
    check_steps(dim, smoothing, "netmf_vectors")
    if window < 1 or not negative > 0:
        raise ValueError(
            "netmf_vectors expects window of at least 1 and negative above 0, got "
            f"{window} and {negative}"
        )
    panels = netmf_panels(
        graph,
        dim,
        window=window,
        negative=negative,
        smoothing=smoothing,
        seed=seed,
        report=part(progress, 0.0, 1.0),
    )
    return flat(panels, dim)


def netmf_panels(
    graph: Structure,
    dim: int,
    *,
    window: int = 10,
    negative: float = 1.0,
    smoothing: int,
    seed: int,
    report: Progress,
) -> Tensor:
    """:func:`netmf_vectors` as panels; see :mod:`kdgraph.codes.subspace`."""
    matrix = _log_matrix(graph, window, negative, part(report, 0.0, 0.5))
    panels = random_panels(graph.shape[0], dim, seed=seed)
    factorise(matrix.matmul, matrix.matmul, panels, progress=part(report, 0.5, 0.9))
    del matrix
    smooth(graph, panels, smoothing, part(report, 0.9, 1.0))
    return panels


def _log_matrix(
    graph: Structure, window: int, negative: float, report: Progress
) -> Tensor:
    """The dense matrix, computed as powers of the symmetric D^-1/2 A D^-1/2."""
    nodes = graph.shape[0]
    degree = degrees(graph)
    volume = float(graph.sum(dtype=np.float64))
    walk = ScaledAdjacency(graph, degree**-0.5, degree**-0.5)
    scale = torch.from_numpy(degree**-0.5)
    matrix = torch.empty(nodes, nodes)
    for start in range(0, nodes, _COLUMNS):
        stop = min(start + _COLUMNS, nodes)
        step = torch.zeros(nodes, stop - start)
        step[start:stop].fill_diagonal_(1.0)
        total = torch.zeros_like(step)
        for _ in range(window):
            step = walk.matmul(step)
            total += step
        total *= scale[:, None] * (volume / (negative * window))
        total *= scale[start:stop]
        # The matrix is symmetric: these columns are its rows.
        matrix[start:stop] = total.clamp_min_(1.0).log_().t()
        report(stop / nodes, "multiply")
    return matrix
