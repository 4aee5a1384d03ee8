"""ProNE: node vectors from a sparse logarithm of the adjacency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdgraph.codes.diffusion import check_steps, degrees, smooth
from kdgraph.codes.progress import Progress, part
from kdgraph.codes.scaled import ScaledAdjacency
from kdgraph.codes.structure import read_structure
from kdgraph.codes.subspace import factorise, flat, random_panels, unit_rows

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure


def prone_vectors(
    adj: object,
    dim: int = 128,
    *,
    smoothing: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""Factorise how much likelier than chance an edge is, then smooth.

    "ProNE: Fast and Scalable Network Representation Learning" (Zhang et al., IJCAI
    2019), equation 3: with :math:`p_{uv} = A_{uv} / d_u` and the noise
    :math:`q_v \propto (\sum_u p_{uv})^{3/4}`, the vectors are :math:`U \Sigma^{1/2}` of
    the truncated SVD of :math:`M_{uv} = \ln (p_{uv} / q_v)` on the edges, rows scaled
    to unit length. In the place of its Chebyshev filter stand a few steps of a lazy
    random walk, :math:`X \leftarrow (X + D^{-1} A X) / 2`.

    Cost is :math:`O(E C + N C^2)`; memory besides the graph two arrays ``[N, C]``.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        dim: Width of a vector C. (default: ``128``)
        smoothing: Steps of the lazy walk. (default: ``10``)
        seed: Of the randomised SVD. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        ``[N, C]`` float32; isolated nodes are zero, and so are columns beyond the rank.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, or sizes out of range.

    Example:
        >>> import numpy as np
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((4, 4)), np.ones((6, 6))))
        >>> vectors = prone_vectors(graph, dim=2)
        >>> bool((vectors[:4] @ vectors[4:].T).abs().max() < 1e-3)
        True
    """
    graph = read_structure(adj, "prone_vectors")
    check_steps(dim, smoothing, "prone_vectors")
    panels = prone_panels(
        graph, dim, smoothing=smoothing, seed=seed, report=part(progress, 0.0, 1.0)
    )
    return flat(panels, dim)


def prone_panels(
    graph: Structure,
    dim: int,
    *,
    smoothing: int,
    seed: int,
    report: Progress,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """:func:`prone_vectors` as panels; see :mod:`kdgraph.codes.subspace`."""
    degree = degrees(graph)
    noise = (graph @ (1.0 / degree)) ** 0.75
    noise[noise == 0] = 1.0
    one, other = 1.0 / degree, noise.sum() / noise
    panels = random_panels(graph.shape[0], dim, dtype=dtype, seed=seed)
    factorise(
        ScaledAdjacency(graph, one, other, logarithm=True).matmul,
        ScaledAdjacency(graph, other, one, logarithm=True).matmul,
        panels,
        num_steps=2,
        progress=part(report, 0.0, 0.8),
    )
    unit_rows(panels)
    smooth(graph, panels, smoothing, part(report, 0.8, 1.0))
    return panels
