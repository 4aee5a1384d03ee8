"""Diffusion: what random numbers become as they spread over a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes.progress import Progress, part
from kdgraph.codes.scaled import ScaledAdjacency
from kdgraph.codes.structure import read_structure
from kdgraph.codes.subspace import apply, flat, random_panels, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kdgraph.codes.structure import Structure


def degrees(graph: Structure) -> NDArray[np.float32]:
    """Weighted degrees ``[N]``; one where a node has no edge, to divide by."""
    # Not a sum in float64, for which scipy copies all weights.
    degree = np.asarray(graph @ np.ones(graph.shape[0], dtype=np.float32))
    degree[degree == 0] = 1.0
    return degree


def smooth(
    graph: Structure, panels: Tensor, num_steps: int, progress: Progress
) -> None:
    r"""Steps of a lazy random walk in place, :math:`X \leftarrow (X + D^{-1} A X) / 2`.

    Panels are taken one by one, and two buffers of one panel turn with each other.
    """
    degree = degrees(graph)
    walk = ScaledAdjacency(graph, 1.0 / degree)
    steps = len(panels) * num_steps
    for index, panel in enumerate(panels):
        x, other = panel, torch.empty_like(panel)
        for step in range(num_steps):
            for rows, block in walk.blocks(x):
                torch.add(x[rows], block, out=other[rows]).mul_(0.5)
            x, other = other, x
            progress((index * num_steps + step + 1) / steps, "smooth")
        if x is not panel:
            panel.copy_(x)


def diffusion_vectors(
    adj: object,
    dim: int = 32,
    *,
    smoothing: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""Let random numbers spread over the graph: a sketch of where walks end.

    .. math::
        X = \bigl(\tfrac12 (I + D^{-1} A)\bigr)^s\,
        \mathrm{unit}\bigl((D^{-1} A)^3 R\bigr),

    with R normal: by the lemma of Johnson and Lindenstrauss, inner products of rows
    are about those of the diffused one-hot vectors. "FastRP" (Chen et al., CIKM 2019)
    with one power in the place of a weighted sum, and more smoothing. Sketches with
    different seeds are independent, and say more together than one that is wider.

    Cost is :math:`O(E C)`; memory besides the graph two arrays ``[N, C]``.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        dim: Width of a vector C. (default: ``32``)
        smoothing: Steps of the lazy walk s. (default: ``10``)
        seed: Of R. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        ``[N, C]`` float32; isolated nodes are zero.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, or sizes out of range.

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((4, 4)), np.ones((6, 6))))
        >>> vectors = diffusion_vectors(graph, smoothing=40)
        >>> bool(torch.allclose(vectors[:4], vectors[:1], atol=1e-3))
        True
    """
    graph = read_structure(adj, "diffusion_vectors")
    check_steps(dim, smoothing, "diffusion_vectors")
    panels = diffusion_panels(
        graph, dim, smoothing=smoothing, seed=seed, report=part(progress, 0.0, 1.0)
    )
    return flat(panels, dim)


def diffusion_panels(
    graph: Structure,
    dim: int,
    *,
    smoothing: int,
    seed: int,
    report: Progress,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """:func:`diffusion_vectors` as panels; see :mod:`kdgraph.codes.subspace`."""
    degree = degrees(graph)
    walk = ScaledAdjacency(graph, 1.0 / degree)
    panels = random_panels(graph.shape[0], dim, dtype=dtype, seed=seed)
    for _ in range(3):
        apply(walk.matmul, panels)
    unit_rows(panels)
    smooth(graph, panels, smoothing, report)
    return panels


def check_steps(dim: int, smoothing: int, reader: str) -> None:
    """Refuse vectors without columns, and fewer than no steps.

    Raises:
        ValueError: A width below 1, or steps below 0.
    """
    if dim < 1 or smoothing < 0:
        raise ValueError(
            f"{reader} expects dim of at least 1 and smoothing of at least 0, got "
            f"{dim} and {smoothing}"
        )
