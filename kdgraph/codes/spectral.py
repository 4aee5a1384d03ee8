"""spectral_codes: codes read off the spectrum of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes.diffusion import diffusion_panels
from kdgraph.codes.kmeans import ROWS_PER_CLUSTER
from kdgraph.codes.netmf import netmf_panels, netmf_vectors
from kdgraph.codes.progress import Progress, part
from kdgraph.codes.prone import prone_panels
from kdgraph.codes.quantize import (
    check_distinct,
    position_seed,
    residual_encode,
    residual_quantize,
)
from kdgraph.codes.random import expand_sizes
from kdgraph.codes.resources import Method, Working, plan_working
from kdgraph.codes.rows import check_rows
from kdgraph.codes.structure import read_structure
from kdgraph.codes.subspace import row_blocks
from kdgraph.codes.table import CodeTable

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure

_SAME = 1e-3
"""Vectors closer than this share of their spread count as equal."""

_ROUNDING = 1e-5
"""So do those closer than this share of their size."""


def spectral_codes(
    adj: object,
    num_codebooks: int = 8,
    codebook_size: int | Sequence[int] = 256,
    *,
    method: Method = "auto",
    dim: int | None = None,
    smoothing: int | None = None,
    memory: int = 4 << 30,
    vectors: Tensor | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CodeTable:
    r"""Codes from the spectrum: nodes with similar neighbourhoods share codes.

    Node vectors are computed from the graph alone and quantised by k-means, trained on
    up to 256 nodes per choice. No labels, and nothing is learned by gradients.

    * ``"netmf"`` (:func:`netmf_vectors`) is best where a dense matrix ``[N, N]`` fits:
      residual digits, see :func:`residual_quantize`.
    * ``"prone"`` (:func:`prone_vectors`) is close to linear in the graph: residual
      digits, too. Its vectors are kept in bfloat16 and narrower where ``memory`` says.
    * ``"diffusion"`` (:func:`diffusion_vectors`) needs least: position after position
      codes a sketch of its own, which is dropped before the next begins.
    * ``"auto"`` takes the first of them that fits into ``memory`` and is fast.

    Isolated nodes have no neighbourhood: all of them get the code of the zero vector.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`. Directed
            edges and duplicates are summed in both directions.
        num_codebooks: Number of positions D. (default: ``8``)
        codebook_size: K, or one per position. (default: ``256``)
        method: How vectors are found. (default: ``"auto"``)
        dim: Width of a vector. (default: ``128``, and ``32`` for ``"diffusion"``)
        smoothing: Steps of a lazy random walk over the vectors: more of them say less
            of a node and more of its surroundings. (default: ``10``, and ``0`` for
            ``"netmf"``)
        memory: Bytes that float arrays over nodes may take at once. The graph, the
            codes, k-means and buffers of bounded size come beside them.
            (default: 4 GiB)
        vectors: Node vectors ``[N, C]`` to quantise in the place of those of
            ``method``: where several seeds share them. (default: ``None``)
        seed: Of all that is random; equal seeds give equal codes. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        The codes of N nodes.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, an unknown method, sizes out of
            range or above the number of distinct vectors, or too little memory.

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((5, 5)), np.ones((9, 9))))
        >>> codes = spectral_codes(graph, num_codebooks=1, codebook_size=2).codes()
        >>> bool((codes[:5] == codes[0]).all() and (codes[5:] != codes[0]).all())
        True
    """
    sizes = expand_sizes(num_codebooks, codebook_size)
    graph = read_structure(adj, "spectral_codes")
    working = plan_working(graph, method, dim, smoothing, memory)
    kind = torch.uint8 if max(sizes) <= 1 << 8 else torch.int32
    codes = torch.empty(graph.shape[0], len(sizes), dtype=kind)
    _check_vectors(vectors, graph)
    groups = [slice(j, j + 1) for j in range(len(sizes))]
    if working.method != "diffusion" or vectors is not None:
        groups = [slice(0, len(sizes))]
    for index, group in enumerate(groups):
        start, stop = index / len(groups), (index + 1) / len(groups)
        own = position_seed(seed, index)
        half = 0.8 * stop + 0.2 * start
        report = part(progress, start, half)
        panels = (
            _panels(graph, working, own, report)
            if vectors is None
            else vectors.float().unsqueeze(0)
        )
        sample = _sample(graph, panels, max(sizes[group]), memory, own)
        check_distinct(_rounded(sample), max(sizes[group]), "spectral_codes")
        trained = residual_quantize(sample, len(sizes[group]), sizes[group], seed=own)
        report = part(progress, half, stop)
        for rows, block in row_blocks(panels):
            codes[rows, group] = residual_encode(block, trained.codebooks).to(kind)
            report(rows.stop / len(codes), "quantise")
        del panels
    return CodeTable.from_codes(codes, sizes)


def _check_vectors(vectors: Tensor | None, graph: Structure) -> None:
    if vectors is None:
        return
    if vectors.dim() != 2 or vectors.size(0) != graph.shape[0]:
        raise ValueError(
            f"spectral_codes expects vectors [{graph.shape[0]}, C], got shape "
            f"{tuple(vectors.shape)}"
        )
    check_rows(vectors, "spectral_codes")


def shared_vectors(adj: object, memory: int, seed: int = 0) -> Tensor | None:
    """What takes longest of :func:`spectral_codes`, if several seeds may share it.

    Args:
        adj: Any adjacency.
        memory: As there.
        seed: Of the randomised SVD.

    Returns:
        ``[N, C]`` where the method is ``"netmf"``; ``None`` for the others, which are
        quick or too large to keep.
    """
    graph = read_structure(adj, "spectral_codes")
    working = plan_working(graph, "auto", None, None, memory)
    if working.method != "netmf":
        return None
    return netmf_vectors(graph, working.dim, smoothing=working.smoothing, seed=seed)


def _panels(graph: Structure, working: Working, seed: int, report: Progress) -> Tensor:
    dim, steps = working.dim, working.smoothing
    if working.method == "netmf":
        return netmf_panels(graph, dim, smoothing=steps, seed=seed, report=report)
    panels = prone_panels if working.method == "prone" else diffusion_panels
    return panels(
        graph, dim, smoothing=steps, dtype=working.dtype, seed=seed, report=report
    )


def _sample(
    graph: Structure, panels: Tensor, choices: int, memory: int, seed: int
) -> Tensor:
    """Vectors to train k-means on, of nodes that have a neighbour."""
    nodes = np.flatnonzero(np.diff(graph.indptr))
    # k-means holds a few copies of them in float32.
    fits = memory // (16 * panels.size(0) * panels.size(2))
    limit = min(ROWS_PER_CLUSTER * choices, max(2 * choices, fits))
    if len(nodes) > limit:
        rng = np.random.default_rng(seed)
        nodes = np.sort(rng.choice(nodes, limit, replace=False, shuffle=False))
    return panels[:, torch.from_numpy(nodes)].transpose(0, 1).flatten(1).float()


def _rounded(vectors: Tensor) -> Tensor:
    """Vectors of which those that differ by rounding alone are equal."""
    spread, size = vectors.var(dim=0).sum().sqrt(), vectors.square().sum(dim=1).mean()
    unit = torch.maximum(spread * _SAME, size.sqrt() * _ROUNDING).clamp_min(1e-30)
    return (vectors / unit).round_()
