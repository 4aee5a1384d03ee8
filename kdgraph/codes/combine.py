"""Several codes of one node, side by side."""

import torch

from kdgraph.codes.table import CHUNK_ROWS, CodeTable
from kdgraph.ops import pack


def combine_codes(*tables: CodeTable) -> CodeTable:
    """Put the positions of several tables side by side.

    Codes that say different things add up: independent partitions, spectral digits, a
    suffix per node. Each position keeps its alphabet, in the order of the tables.

    All of them are packed, those of a prefix too: to leave those out, combine the rest
    and put the prefix before it with :meth:`CodeTable.prefixed`. Cost and memory are
    those of the packed result; nodes are unpacked in chunks.

    Args:
        tables: One or more tables of the same nodes.

    Raises:
        TypeError: Something that is not a :class:`CodeTable`.
        ValueError: No table, or tables of different numbers of nodes.

    Example:
        >>> levels = CodeTable.from_codes(torch.tensor([[0], [1]]), 2)
        >>> digits = CodeTable.from_codes(torch.tensor([[4, 0], [2, 7]]), 8)
        >>> both = combine_codes(levels, digits)
        >>> both.codebook_sizes, both.codes().tolist()
        ((2, 8, 8), [[0, 4, 0], [1, 2, 7]])
    """
    if not tables:
        raise ValueError("combine_codes expects at least one CodeTable, got none")
    for table in tables:
        if not isinstance(table, CodeTable):
            raise TypeError(
                f"combine_codes expects CodeTables, got {type(table).__name__}; make "
                "one with CodeTable.from_codes"
            )
    counts = [table.num_nodes for table in tables]
    if len(set(counts)) > 1:
        raise ValueError(
            f"combine_codes expects tables of the same nodes, got {counts} rows; code "
            "all of them on one graph"
        )
    sizes = [size for table in tables for size in table.codebook_sizes]
    parts = []
    for rows in torch.split(torch.arange(counts[0]), CHUNK_ROWS):
        codes = torch.cat([table.codes(rows) for table in tables], dim=1)
        parts.append(pack(codes, sizes))
    return CodeTable(torch.cat(parts), sizes)
