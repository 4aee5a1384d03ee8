"""Blocks of edges: what the operations in plain torch work on at once."""

import itertools
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from kdgraph.ops.edges import Edges
from kdgraph.ops.segments import Segments

BLOCK_BYTES = 1 << 25
"""What the temporary tensors of a block may take: as little as keeps threads busy."""


class Block:
    """Edges that follow each other, and the targets they have.

    Args:
        edges: All edges.
        span: First edge, and the one behind the last.
        targets: First target, and the one behind the last. These two may have edges in
            other blocks.
        device: Where tensors lie.
    """

    def __init__(
        self,
        edges: Edges,
        span: tuple[int, int],
        targets: tuple[int, int],
        device: torch.device,
    ) -> None:
        self._edges, self._device = edges, device
        self.span = slice(*span)
        self.targets = slice(*targets)

    @property
    def weight(self) -> Tensor | None:
        """Of each edge, ``[E]``, or ``None`` for ones."""
        weight = self._edges.weight
        return None if weight is None else weight[self.span]

    def rows(self, nodes: Tensor) -> Tensor:
        """The rows ``[E, *]`` of the sources, of those of all nodes."""
        col = self._edges.col
        if col is None:
            return nodes[self.span]
        return nodes.index_select(0, col[self.span])

    def sum(self, nodes: Tensor) -> Tensor:
        """Weighted sums ``[T, C]`` of the rows of sources, of those of all nodes."""
        col = self._edges.col
        source = (
            torch.arange(self.span.start, self.span.stop, device=self._device)
            if col is None
            else col[self.span]
        )
        return self.shared(self.segments.sum(nodes, source.int(), self.weight))

    def shared(self, sums: Tensor) -> Tensor:
        """Rows of targets, divided by their edges where sums are means."""
        share = self._edges.share(self.targets)
        return sums if share is None else sums * share.to(sums.dtype)

    @cached_property
    def pointers(self) -> Tensor:
        """Where the edges of each target begin in the block, ``int32`` ``[T + 1]``."""
        start, stop = self.span.start, self.span.stop
        if self._edges.rowptr is None:
            every = stop - start + 1
            return torch.arange(every, dtype=torch.int32, device=self._device)
        rowptr = self._edges.rowptr[self.targets.start : self.targets.stop + 1]
        return (rowptr.clamp(start, stop) - start).int()

    @cached_property
    def segments(self) -> Segments:
        """The edges of each target, to be summed."""
        return Segments(self.pointers)

    @cached_property
    def target(self) -> Tensor:
        """The target of each edge within the block, ``int32`` ``[E]``."""
        counts = self.pointers.diff()
        every = torch.arange(counts.numel(), dtype=torch.int32, device=self._device)
        number = self.span.stop - self.span.start
        return every.repeat_interleave(counts, output_size=number)


def blocks(
    edges: Edges,
    nodes: Tensor,
    edge_bytes: int,
    target_bytes: int,
    limit: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Cut edges into blocks; targets without edges may be in none.

    Args:
        edges: To be cut.
        nodes: What there is of the N sources, ``[N, *]``.
        edge_bytes: What the temporary tensors of a block take for an edge.
        target_bytes: And for a target.
        limit: What each of both kinds may take.
    """
    count, rowptr, device = edges.count(nodes.size(0)), edges.rowptr, nodes.device
    if rowptr is None:
        step = max(1, limit // (edge_bytes + target_bytes))
        for start in range(0, count, step):
            span = start, min(start + step, count)
            yield Block(edges, span, span, device)
        return
    edge_step, step = max(1, limit // edge_bytes), max(1, limit // target_bytes)
    cuts = torch.arange(0, count, edge_step, dtype=rowptr.dtype, device=device)
    cuts = torch.cat([cuts, rowptr[::step], rowptr[-1:]]).sort().values
    cuts = torch.unique_consecutive(cuts)
    first = torch.searchsorted(rowptr, cuts[:-1], right=True) - 1
    last = torch.searchsorted(rowptr, cuts[1:])
    spans = itertools.pairwise(cuts.tolist())
    targets = zip(first.tolist(), last.tolist(), strict=True)
    for span, some in zip(spans, targets, strict=True):
        yield Block(edges, span, some, device)
