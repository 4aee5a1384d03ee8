"""Codes from random projections of the adjacency: close rows share bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kdgraph.codes.random import expand_sizes
from kdgraph.codes.structure import read_structure
from kdgraph.codes.table import CodeTable


def projection_codes(
    adj: object,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    *,
    seed: int = 0,
) -> CodeTable:
    r"""Project the row of each node at random, and keep on which side it falls.

    Algorithm 1 of Yeh et al., "Embedding Compression with Hashing for Efficient
    Representation Learning in Large-Scale Graph", KDD 2022. Bit i of node v is

    .. math::
        \beta_{vi} = [u_{vi} > \operatorname{median}_w u_{wi}], \qquad
        u_i = A r_i, \quad r_i \sim \mathcal{N}(0, I),

    so that each bit halves the nodes, and two nodes share a bit the more often, the
    more their neighbourhoods overlap. :math:`\log_2 K_j` bits make the code of position
    j. Nodes of equal neighbourhood have equal codes; isolated nodes all share one.

    A bit costs one product of A with a vector. Memory beside the codes is two float32
    arrays :math:`[N, \log_2 K_j]` and the codes as int32.

    Args:
        adj: Square sparse adjacency; direction is ignored, weights are respected.
        num_codebooks: Number of positions D.
        codebook_size: K, or one per position; powers of two.
        seed: The same seed gives the same codes.

    Raises:
        TypeError: An adjacency that is not sparse, or sizes that are not integers.
        ValueError: A size that is no power of two or out of range, or what
            :func:`read_structure <kdgraph.codes.structure.read_structure>` refuses.

    Example:
        >>> from scipy import sparse
        >>> star = sparse.csr_array(([1, 1, 1], ([0, 0, 0], [1, 2, 3])), shape=(4, 4))
        >>> codes = projection_codes(star, 2, 16).codes()
        >>> bool((codes[1:] == codes[1]).all())  # the leaves have one neighbourhood
        True
    """
    sizes = expand_sizes(num_codebooks, codebook_size)
    for size in sizes:
        if size & (size - 1):
            raise ValueError(
                f"projection_codes makes a code of whole bits, so codebook_size is a "
                f"power of two, got {size}; use {1 << (size.bit_length() - 1)}"
            )
    structure = read_structure(adj, "projection_codes")
    rng = np.random.default_rng(seed)
    num_nodes = structure.shape[0]
    codes = np.empty((num_nodes, len(sizes)), dtype=np.int32)
    for position, size in enumerate(sizes):
        bits = size.bit_length() - 1
        seen = structure @ rng.standard_normal((num_nodes, bits), dtype=np.float32)
        above = seen > np.median(seen, axis=0)
        codes[:, position] = above @ (1 << np.arange(bits))
    return CodeTable.from_codes(torch.from_numpy(codes), sizes)
