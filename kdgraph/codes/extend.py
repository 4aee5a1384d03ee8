"""Codes for nodes that came later, from the codes of their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from kdgraph.codes.structure import read_structure
from kdgraph.codes.table import CHUNK_ROWS, CodeTable
from kdgraph.ops import pack, unpack, unpack_nodes

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure

    Ids = NDArray[np.int64]
    Vote = Literal["path", "position"]


def extend_codes(table: CodeTable, adj: object, *, vote: Vote = "path") -> CodeTable:
    r"""Code new nodes by a vote of their coded neighbours; old codes do not change.

    Position j of a new node v is what most edges say,

    .. math::
        k_{vj} = \arg\max_k \sum_{u \in V_j(v)} A_{vu} [k_{uj} = k],

    the lowest k where votes are equal. By ``"position"`` the voters :math:`V_j(v)` are
    all coded neighbours. By ``"path"`` they are those that agree with v in all
    positions before j: levels of a hierarchy then name clusters that lie in each other,
    and a residual digit refines the digits it was made for. The code of v is then the
    whole code of some neighbour. Positions that are independent of each other, as of
    several partitions, lose voters that way: extend each table alone, then
    :func:`combine_codes <kdgraph.codes.combine_codes>`.

    All nodes of a pass vote at once, by the codes before it, so their order does not
    matter. The next pass reaches those whose neighbours were new themselves. Nodes
    that no path joins to a coded one take the vote of all old nodes.

    Time is that of sorting the edges of the new nodes once per position; memory is
    about 60 bytes per such edge. Labels, codebooks and training play no part.

    Args:
        table: Codes of the first N nodes.
        adj: Square sparse adjacency of all N + M nodes, old ones first; direction is
            ignored, weights are respected.
        vote: ``"path"`` or ``"position"``.

    Returns:
        Codes of all N + M nodes, those of a prefix packed: new nodes have no place in
        its order.

    Raises:
        TypeError: An adjacency that is not sparse.
        ValueError: Another vote, fewer nodes than codes, or what
            :func:`read_structure <kdgraph.codes.structure.read_structure>` refuses.

    Example:
        >>> table = CodeTable.from_codes(torch.tensor([[0, 3], [0, 3], [1, 2]]), 4)
        >>> edges = [3, 3, 3, 4], [0, 1, 2, 3]  # node 4 knows node 3 alone
        >>> adj = sparse.csr_array(([1, 1, 1, 1], edges), shape=(5, 5))
        >>> extend_codes(table, adj).codes()[3:].tolist()
        [[0, 3], [0, 3]]
    """
    if vote not in ("path", "position"):
        raise ValueError(
            f"extend_codes expects vote 'path' or 'position', got {vote!r}"
        )
    structure = read_structure(adj, "extend_codes")
    num_old, num_nodes = table.num_nodes, structure.shape[0]
    table = table.explicit()
    if num_nodes < num_old:
        raise ValueError(
            f"extend_codes expects the {num_old} nodes of the table and new ones, got "
            f"an adjacency of {num_nodes} nodes"
        )
    packed = table.packed.new_empty((num_nodes, table.packed.size(1)))
    packed[:num_old] = table.packed
    coded = np.arange(num_nodes) < num_old
    frontier: Ids = _touched(structure[num_old:], coded) + num_old
    while frontier.size:
        rows = structure[frontier]
        codes = _elect(rows, packed, coded, table.codebook_sizes, vote)
        packed[torch.from_numpy(frontier)] = pack(codes, table.codebook_sizes)
        coded[frontier] = True
        reached = np.unique(rows.indices)
        frontier = reached[~coded[reached]].astype(np.int64)
    left = torch.from_numpy(~coded)
    if left.any():
        packed[left] = pack(_common(table, vote), table.codebook_sizes)
    return CodeTable(packed, table.codebook_sizes)


def _touched(rows: Structure, coded: NDArray[np.bool_]) -> Ids:
    """Rows with a coded neighbour."""
    counts = np.concatenate([[0], np.cumsum(coded[rows.indices])])
    return np.flatnonzero(np.diff(counts[rows.indptr]))


def _elect(
    rows: Structure,
    packed: torch.Tensor,
    coded: NDArray[np.bool_],
    sizes: tuple[int, ...],
    vote: Vote,
) -> torch.Tensor:
    """The codes that win in each row, which has a coded neighbour at least."""
    valid = coded[rows.indices]
    voter = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[valid]
    weight = rows.data[valid].astype(np.float64)
    neighbours, where = np.unique(rows.indices[valid], return_inverse=True)
    ids = torch.from_numpy(neighbours.astype(np.int64))
    known = unpack_nodes(packed, ids, sizes).numpy()
    won = np.empty((rows.shape[0], len(sizes)), dtype=np.int64)
    for position, size in enumerate(sizes):
        said = known[where, position]
        won[:, position] = _majority(voter, said, weight, (rows.shape[0], size))
        if vote == "path":
            agree = said == won[voter, position]
            voter, where, weight = voter[agree], where[agree], weight[agree]
    return torch.from_numpy(won)


def _majority(
    voter: Ids, said: Ids, weight: NDArray[np.float64], shape: tuple[int, int]
) -> Ids:
    """Heaviest code of each row, the lowest of equals."""
    votes = sparse.coo_array((weight, (voter, said)), shape=shape).tocsr()
    votes.sum_duplicates()
    counts = np.diff(votes.indptr)
    best = np.maximum.reduceat(votes.data, votes.indptr[:-1])
    winners = np.flatnonzero(votes.data == np.repeat(best, counts))
    first = winners[np.searchsorted(winners, votes.indptr[:-1])]
    return votes.indices[first].astype(np.int64)


def _common(table: CodeTable, vote: Vote) -> torch.Tensor:
    """The code ``[1, D]`` that all nodes of a table elect, one vote each."""
    sizes = table.codebook_sizes
    won = torch.zeros(1, len(sizes), dtype=torch.int64)
    for position, size in enumerate(sizes):
        counts = torch.zeros(size, dtype=torch.int64)
        for chunk in torch.split(table.packed, CHUNK_ROWS):
            codes = unpack(chunk, sizes)
            if vote == "path":
                codes = codes[(codes[:, :position] == won[:, :position]).all(dim=1)]
            counts += torch.bincount(codes[:, position], minlength=size)
        won[0, position] = counts.argmax()
    return won
