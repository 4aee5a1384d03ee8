"""NaiveSampler: neighbours drawn by tensor operations alone, as anyone might."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdgraph.ops import Sampled


class NaiveSampler:
    """What :func:`kdgraph.ops.sample_neighbors` draws, in plain torch.

    Floyd's algorithm (Bentley and Floyd, Communications of the ACM 30, 1987) draws
    k of a node's d neighbours without replacement in k steps, each of which is taken
    for all nodes at once. Nodes are numbered by an array over all nodes of the graph,
    made once, which is faster than sorting ids.

    Args:
        rowptr: Where the edges of each target begin, ``[N + 1]``.
        col: The source of each edge, ``[E]``.
    """

    def __init__(self, rowptr: Tensor, col: Tensor) -> None:
        self._rowptr, self._col = rowptr, col
        self._place = torch.full((rowptr.numel() - 1,), -1, dtype=torch.int64)

    def __call__(self, seeds: Tensor, num_neighbors: Sequence[int]) -> Sampled:
        """Draw around distinct seeds, hop by hop."""
        hops = [seeds]
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        self._place[seeds] = torch.arange(len(seeds))
        begin = 0
        for number in num_neighbors:
            target, edge = self._draw(hops[-1], number)
            source, target = self._col[edge].long(), target + begin
            begin += len(hops[-1])
            hops.append(self._number(source, begin))
            found.append((self._place[source], target, edge))
        node = torch.cat(hops)
        self._place[node] = -1
        row, col, edge = (torch.cat(parts) for parts in zip(*found, strict=True))
        nodes, edges = [len(hop) for hop in hops], [len(parts[0]) for parts in found]
        return Sampled(node, row, col, edge, nodes, edges)

    def _draw(self, nodes: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Targets, by their place in ``nodes``, and edges."""
        begin = self._rowptr[nodes].long()
        degree = self._rowptr[nodes + 1].long() - begin
        taken = torch.empty(len(nodes), number, dtype=torch.int64)
        for step in range(number):
            # The last of those that may be drawn, the first time that it may be.
            last = degree - number + step
            one = (torch.rand(len(nodes)) * (last + 1)).long().clamp_(max=last)
            again = (taken[:, :step] == one.unsqueeze(1)).any(dim=1)
            taken[:, step] = torch.where(again, last, one)
        # Who has no more neighbours than that gets them all.
        every = torch.arange(number).expand_as(taken)
        taken = torch.where((degree <= number).unsqueeze(1), every, taken)
        target, place = (taken < degree.unsqueeze(1)).nonzero(as_tuple=True)
        return target, begin[target] + taken[target, place]

    def _number(self, drawn: Tensor, begin: int) -> Tensor:
        """Give the nodes that are new the places from ``begin``; return them."""
        new = drawn[self._place[drawn] < 0]
        # Of equal nodes, the one whose place remains is kept.
        every = torch.arange(len(new))
        self._place[new] = every
        new = new[self._place[new] == every]
        self._place[new] = torch.arange(begin, begin + len(new))
        return new
