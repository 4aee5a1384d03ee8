"""Codes and codewords drawn anew from the vectors they have come to compose."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.codes.kmeans import ROWS_PER_CLUSTER, kmeans, nearest
from kdgraph.codes.table import CodeTable
from kdgraph.ops import at_least_float32, pack, position_offsets
from kdgraph.ops.straight_through import row_chunks


@torch.no_grad()
def recluster(
    table: CodeTable,
    codewords: Tensor,
    positions: Sequence[int],
    *,
    null_code: bool = False,
    seed: int = 0,
) -> tuple[CodeTable, Tensor]:
    r"""Give some positions the clusters of the vectors that they compose together.

    The clustering step of "Clustering the Sketch" (Tsang, Ahle, NeurIPS 2023), for
    codewords that are summed. With P the positions and
    :math:`p_v = \sum_{j \in P} C_j[k_{v,j}]`, the first of them takes the k-means of
    :math:`p_v`, the next that of the residual, and so on:

    .. math:: C'_j = \mathrm{kmeans}(r_{v,j}), \quad
        k'_{v,j} = \arg\min_k \|r_{v,j} - C'_j[k]\|^2, \quad
        r_{v,j+1} = r_{v,j} - C'_j[k'_{v,j}].

    Training has moved the codewords, so that pairs of codes may compose nearly the same
    vector: nodes then move together, and codewords are free to tell apart others. The
    paper draws the later positions at random instead, which forgets what they knew.

    K-means sees a random sample of at most 256 rows per cluster; then all nodes choose.
    Where there are fewer distinct vectors than choices, the codewords left over stay as
    they are. Time is :math:`O(N d \sum_{j \in P} K_j)`, memory a few blocks of 16 MiB
    beside the sample and the new codes.

    Positions that the order of the rows implies stay as they are: no clustering can
    change what is not stored.

    Args:
        table: Codes of N nodes.
        codewords: ``[sum(K_j), d]``: the codebooks of a
            :class:`kdgraph.composers.SumComposer` that does not share one.
        positions: P, in the order in which they are drawn; two or more, all of them
            stored and not implied.
        null_code: Whether choice 0 of every position is zero, and stays so.
        seed: Of the sample and of k-means. (default: ``0``)

    Returns:
        Codes and codewords; other positions are as they were.

    Raises:
        ValueError: Codewords that do not fit the codes, or positions that do not exist,
            are implied, are repeated or are fewer than two.

    Example:
        >>> table = CodeTable.from_codes(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]))
        >>> codewords = torch.tensor([[0.0], [0.1], [0.0], [5.0]])
        >>> recluster(table, codewords, [0, 1])[0].codes()[:, 0].tolist()  # the larger
        [0, 1, 0, 1]
    """
    sizes = table.codebook_sizes
    first = table.num_codebooks - len(table.packed_sizes)
    _check(sizes, first, codewords, positions)
    old = at_least_float32(codewords)
    offsets = torch.tensor(position_offsets(sizes), device=old.device)
    drawn = _drawn(table, ROWS_PER_CLUSTER * max(sizes[j] for j in positions), seed)
    rest = _partial(drawn, old, offsets, positions)
    new = old.clone()
    for position in positions:
        block = new[offsets[position] :][: sizes[position]]
        learned = block[1:] if null_code else block
        distinct = torch.unique(rest, dim=0).size(0)
        clusters = kmeans(rest, min(len(learned), distinct), seed=seed)
        learned[: len(clusters.centroids)] = clusters.centroids
        rest -= block[nearest(rest, block)]
    packed = torch.empty_like(table.packed)
    for rows in row_chunks(table.num_nodes, old.size(1)):
        stop = min(rows.stop, table.num_nodes)
        codes = table.codes(torch.arange(rows.start, stop, device=packed.device))
        rest = _partial(codes, old, offsets, positions)
        for position in positions:
            block = new[offsets[position] :][: sizes[position]]
            codes[:, position] = nearest(rest, block)
            rest -= block[codes[:, position]]
        packed[rows] = pack(codes[:, first:], sizes[first:])
    return CodeTable(packed, sizes, table.prefix), new.to(codewords.dtype)


def _partial(
    codes: Tensor, codewords: Tensor, offsets: Tensor, positions: Sequence[int]
) -> Tensor:
    """What some positions add to the vectors, ``[B, d]``."""
    index = (codes + offsets)[:, list(positions)]
    return functional.embedding_bag(index, codewords, mode="sum")


def _drawn(table: CodeTable, rows: int, seed: int) -> Tensor:
    """Codes of random nodes; of all where there are not more."""
    if table.num_nodes <= rows:
        return table.codes()
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randint(table.num_nodes, (rows,), generator=generator)
    return table.codes(nodes.to(table.packed.device))


def _check(
    sizes: tuple[int, ...], first: int, codewords: Tensor, positions: Sequence[int]
) -> None:
    if codewords.dim() != 2 or codewords.size(0) != sum(sizes):
        raise ValueError(
            f"recluster expects codewords [{sum(sizes)}, d] for K = {sizes}, got shape "
            f"{tuple(codewords.shape)}; a shared codebook cannot be reclustered"
        )
    chosen = set(positions)
    if len(chosen) < max(2, len(positions)) or not chosen <= set(
        range(first, len(sizes))
    ):
        raise ValueError(
            f"recluster expects two or more positions in [{first}, {len(sizes)}), each "
            f"once and none implied by the order of the rows, got {list(positions)}"
        )
