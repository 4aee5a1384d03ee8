"""Codes that are a function of the id: nothing to store, nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kdgraph.codes.random import expand_sizes
from kdgraph.codes.table import CHUNK_ROWS, CodeTable
from kdgraph.ops import pack


def hash_codes(
    num_nodes: int,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    *,
    seed: int = 0,
) -> CodeTable:
    r"""Hash the id of each node, once per position.

    Multiply-shift (Dietzfelbinger et al., Journal of Algorithms 1997): with 64-bit
    :math:`a_j, b_j` drawn from the seed,

    .. math::
        k_{vj} = \left\lfloor \frac{K_j}{2^{32}}
            \left\lfloor \frac{(a_j v + b_j) \bmod 2^{64}}{2^{32}} \right\rfloor
        \right\rfloor.

    Two nodes share a code with probability about :math:`1 / K_j`, independently in
    each position. A code depends on the id and the seed alone, not on the number of
    nodes: it can be computed again wherever it is needed, so nothing has to be stored,
    and nodes added later have codes already. For comparison with codes that know the
    graph.

    Time and memory are those of the packed codes.

    Args:
        num_nodes: Number of nodes N.
        num_codebooks: Number of positions D.
        codebook_size: K, or one per position.
        seed: The same seed gives the same codes.

    Raises:
        TypeError: Numbers that are not integers.
        ValueError: No nodes, more than :math:`2^{32}`, or a size out of range.

    Example:
        >>> table = hash_codes(1000, 2, (8, 16), seed=3)
        >>> torch.equal(table.codes()[:10], hash_codes(10, 2, (8, 16), seed=3).codes())
        True
    """
    sizes = expand_sizes(num_codebooks, codebook_size)
    if isinstance(num_nodes, bool) or not hasattr(num_nodes, "__index__"):
        raise TypeError(f"hash_codes expects an integer num_nodes, got {num_nodes!r}")
    if not 1 <= num_nodes <= 1 << 32:
        raise ValueError(
            f"hash_codes expects between 1 and 2**32 nodes, got num_nodes={num_nodes}"
        )
    rng = np.random.default_rng(seed)
    factor, offset = rng.integers(1 << 64, size=(2, len(sizes)), dtype=np.uint64)
    size, half = np.array(sizes, dtype=np.uint64), np.uint64(32)
    parts = []
    for start in range(0, num_nodes, CHUNK_ROWS):
        ids = np.arange(start, min(start + CHUNK_ROWS, num_nodes), dtype=np.uint64)
        # Arrays of 64 bits wrap around: that is the modulus.
        high = (ids[:, None] * factor + offset) >> half
        codes = (high * size) >> half
        parts.append(pack(torch.from_numpy(codes.astype(np.int32)), sizes))
    return CodeTable(torch.cat(parts), sizes)
