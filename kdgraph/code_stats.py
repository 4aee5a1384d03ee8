"""CodeStats: how well the alphabets are used, over all nodes."""

from dataclasses import dataclass

import torch

from kdgraph.codes import CodeTable
from kdgraph.codes.table import CHUNK_ROWS


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


def code_stats(table: CodeTable) -> CodeStats:
    """Count, a chunk of nodes at a time.

    Args:
        table: The codes of all nodes.
    """
    sizes = table.codebook_sizes
    counts = [torch.zeros(size, dtype=torch.int64) for size in sizes]
    for rows in torch.split(torch.arange(table.num_nodes), CHUNK_ROWS):
        codes = table.codes(rows.to(table.packed.device)).cpu()
        for position, size in enumerate(sizes):
            counts[position] += torch.bincount(codes[:, position], minlength=size)
    usage, perplexity, dead = [], [], 0
    for total, size in zip(counts, sizes, strict=True):
        used = total[total > 0].double()
        share = used / used.sum()
        usage.append(used.numel() / size)
        perplexity.append(float(torch.exp2(-(share * share.log2()).sum())))
        dead += size - used.numel()
    # Equal rows are equal codes.
    unique = torch.unique(table.explicit().packed, dim=0).size(0)
    return CodeStats(
        tuple(usage), tuple(perplexity), unique, unique / table.num_nodes, dead
    )
