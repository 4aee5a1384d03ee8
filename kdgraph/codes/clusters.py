"""Clusters of nodes whose codes begin alike."""

import math

import torch
from torch import Tensor

from kdgraph.codes.table import CHUNK_ROWS, CodeTable


def clusters_of(table: CodeTable, num_positions: int = 1) -> Tensor:
    r"""The cluster of each node: one for all nodes whose first codes are the same.

    With codes :math:`k_{v1}, ..., k_{vp}` of the first p positions, the cluster of
    node v is

    .. math:: \sum_{j \le p} k_{vj} \prod_{j < i \le p} K_i,

    the code itself for p = 1. Of a partition's ``"digits"`` these are the clusters of
    level p, and of its ``"levels"`` too, numbered with gaps there. Clusters that no
    node is in keep their number. Nodes are unpacked in chunks.

    Args:
        table: Codes, such as :func:`partition_codes <kdgraph.codes.partition_codes>`
            gives them.
        num_positions: How many positions have to agree. (default: ``1``)

    Returns:
        ``int64`` ``[N]``, as :class:`kdgraph.data.ClusterLoader` takes it.

    Raises:
        TypeError: Something that is not a :class:`CodeTable`, or a number of positions
            that is not an integer.
        ValueError: A number of positions below 1 or above D, or alphabets with more
            combinations than int64 has.

    Example:
        >>> codes = torch.tensor([[0, 2, 7], [1, 0, 7], [0, 2, 5]])
        >>> table = CodeTable.from_codes(codes, (2, 3, 8))
        >>> clusters_of(table).tolist(), clusters_of(table, 2).tolist()
        ([0, 1, 0], [2, 3, 2])
    """
    if not isinstance(table, CodeTable):
        raise TypeError(
            f"clusters_of expects a CodeTable, got {type(table).__name__}; make one "
            "with CodeTable.from_codes"
        )
    if isinstance(num_positions, bool) or not hasattr(num_positions, "__index__"):
        raise TypeError(
            f"clusters_of expects num_positions as an integer, got {num_positions!r}"
        )
    if not 1 <= num_positions <= table.num_codebooks:
        raise ValueError(
            f"clusters_of expects num_positions from 1 to the {table.num_codebooks} of "
            f"the codes, got {num_positions}"
        )
    sizes = table.codebook_sizes[:num_positions]
    if math.prod(sizes) > torch.iinfo(torch.int64).max:
        raise ValueError(
            f"clusters_of expects fewer than 2**63 combinations of codes, got K = "
            f"{sizes}; use fewer positions"
        )
    clusters = torch.zeros(table.num_nodes, dtype=torch.int64)
    for rows in torch.split(torch.arange(table.num_nodes), CHUNK_ROWS):
        part = clusters[rows[0] : rows[-1] + 1]
        codes = table.codes(rows.to(table.packed.device)).cpu()
        for position, size in enumerate(sizes):
            part.mul_(size).add_(codes[:, position])
    return clusters
