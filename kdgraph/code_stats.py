"""CodeStats: how well the alphabets are used, over all nodes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodeStats:
    r"""Usage of the codes of all nodes.

    Args:
        usage: Share of each position's alphabet that some node uses, ``D`` of them.
        perplexity: :math:`2^{H}` of the code frequencies of each position: how many
            choices are in effect used; K at best, 1 at worst.
        unique_codes: Number of distinct code rows.
        unique_ratio: ``unique_codes / N``: 1 where every node has a code of its own.
        dead_codewords: Codewords no node uses, over all positions.
    """

    usage: tuple[float, ...]
    perplexity: tuple[float, ...]
    unique_codes: int
    unique_ratio: float
    dead_codewords: int


def code_stats(
    codes: Tensor, packed: Tensor, codebook_sizes: tuple[int, ...]
) -> CodeStats:
    """Count.

    Args:
        codes: ``[N, D]``.
        packed: The same codes packed, ``[N, row_bytes]``: equal rows are equal codes.
        codebook_sizes: The alphabet of each position.
    """
    usage, perplexity, dead = [], [], 0
    for position, size in enumerate(codebook_sizes):
        counts = torch.bincount(codes[:, position], minlength=size).double()
        used = int((counts > 0).sum())
        share = counts[counts > 0] / counts.sum()
        usage.append(used / size)
        perplexity.append(float(torch.exp2(-(share * share.log2()).sum())))
        dead += size - used
    unique = torch.unique(packed, dim=0).size(0)
    return CodeStats(
        tuple(usage), tuple(perplexity), unique, unique / packed.size(0), dead
    )
