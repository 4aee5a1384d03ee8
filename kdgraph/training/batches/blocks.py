"""Blocks: the sampled layers of a mini-batch, as a network takes them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdgraph.data import Graph
from kdgraph.data._pattern import pattern_of, wrap
from kdgraph.ops import induced_subgraph, sample_neighbors
from kdgraph.ops.sampled import Sampled
from kdgraph.ops.subgraph import Subgraph

_ROWS = 1 << 20


@dataclass(frozen=True)
class Block:
    """The edges that a layer sums along, between some sources and some targets.

    Args:
        n_id: Sources ``[S]``, the targets first.
        num_targets: How many of them are targets, M.
        graph: ``torch.sparse`` CSR ``[M, S]``; for attention ``edge_index``.
    """

    n_id: Tensor
    num_targets: int
    graph: Tensor

    @property
    def targets(self) -> Tensor:
        """The targets ``[M]``."""
        return self.n_id[: self.num_targets]

    def to(self, device: torch.device) -> "Block":
        """The same on a device."""
        return Block(self.n_id.to(device), self.num_targets, self.graph.to(device))


class BlockSampler:
    r"""Draw the blocks of a network's layers around some nodes, the last layer first.

    Every layer draws neighbours anew for all of its targets, those that the layer above
    drew from included, so that what a layer computes for a node follows from the seed
    and the node, whatever else is in the batch.

    Sums over neighbours are estimated without bias: with s of d neighbours drawn, each
    counts d/s times. Degrees, with the weights of edges for the graph convolution, are
    those of the whole graph, so that its normalised adjacency is that of
    :func:`kdgraph.data.gcn_norm`. The other networks do not read weights.

    Args:
        graph: The graph; its arrays may be mapped from files.
        model: ``"gcn"``, ``"sage"``, ``"gat"`` or ``"gin"``.
    """

    def __init__(self, graph: Graph, model: str) -> None:
        pattern = pattern_of(graph, "BlockSampler")
        self.rowptr, self.col = pattern.rowptr, pattern.col
        self.num_nodes = graph.num_nodes
        self.model = model
        self._looped = _looped(graph) if model == "gcn" else None
        self._weights: Tensor | None = None
        if model == "gcn" and graph.weighted:
            self._weights = wrap(graph.adj.data)
            sums = np.asarray(graph.adj.sum(axis=1, dtype=np.float64)).ravel()
            self._weighted_degree = torch.from_numpy(sums)

    def degree(self, nodes: Tensor) -> Tensor:
        """Neighbours of some nodes in the whole graph, ``int64`` ``[B]``."""
        return self.rowptr[nodes + 1].long() - self.rowptr[nodes].long()

    def draw(self, targets: Tensor, fanout: int, seed: int = 0) -> Block:
        """Draw the block of one layer.

        Args:
            targets: Nodes ``[M]``; one that stands twice stays twice.
            fanout: How many neighbours of each; -1 for all.
            seed: Of what is drawn. (default: ``0``)
        """
        drawn = sample_neighbors(self.rowptr, self.col, targets, [fanout], seed=seed)
        return self._block(drawn.node, targets.numel(), drawn)

    def induced(self, nodes: Tensor) -> Block:
        """The block of the edges among some nodes, for any number of layers.

        Args:
            nodes: Distinct nodes ``[B]``.
        """
        found = induced_subgraph(self.rowptr, self.col, nodes)
        return self._block(nodes, nodes.numel(), found)

    def _block(self, nodes: Tensor, count: int, edges: Sampled | Subgraph) -> Block:
        """The block of edges, of which some for each target were taken."""
        row, col = edges.row, edges.col
        if self.model == "gat":
            return Block(nodes, count, torch.stack([row, col]))
        taken = torch.bincount(col, minlength=count)
        rowptr = torch.zeros(count + 1, dtype=torch.int64)
        torch.cumsum(taken, 0, out=rowptr[1:])
        if self.model == "sage":
            weight = torch.ones(row.numel())
        else:
            share = self.degree(nodes[:count]) / taken.clamp(min=1)
            weight = share.float()[col]
            if self._weights is not None:
                weight *= self._weights[edges.edge]
        if self.model == "gcn":
            rowptr, row, weight = self._normalized(nodes, rowptr, row, col, weight)
        return Block(nodes, count, _csr(rowptr, row, weight, nodes.numel()))

    def chain(self, seeds: Tensor, fanouts: Sequence[int], seed: int) -> list[Block]:
        """Draw the blocks of all layers, the first layer's first.

        Args:
            seeds: Nodes whose scores are wanted, ``[B]``; one that stands twice stays
                twice.
            fanouts: How many neighbours each layer draws, the last layer's first.
            seed: Of what is drawn.
        """
        blocks: list[Block] = []
        for layer, fanout in enumerate(fanouts):
            targets = blocks[-1].n_id if blocks else seeds
            blocks.append(self.draw(targets, fanout, seed + layer))
        return blocks[::-1]

    def _normalized(
        self, nodes: Tensor, rowptr: Tensor, row: Tensor, col: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the loops that are missing, and divide by roots of degrees."""
        count = rowptr.numel() - 1
        missing = ~self._looped[nodes] if self._looped is not None else None
        degree = self.degree(nodes).double()
        if self._weights is not None:
            degree = self._weighted_degree[nodes]
        degree = degree + (1 if missing is None else missing)
        scale = torch.where(degree > 0, degree.rsqrt(), 0.0).float()
        weight = weight * scale[row] * scale[col]
        # Before the edges of each target comes its loop, where it gets one.
        loops = torch.ones(count, dtype=torch.int64)
        if missing is not None:
            loops = missing[:count].long()
        before = torch.cumsum(loops, 0)
        place = torch.arange(row.numel()) + before[col]
        total = row.numel() + int(before[-1]) if count else 0
        own = loops.bool()
        first = (rowptr[:-1] + before - loops)[own]
        source, weights = torch.empty(total, dtype=torch.int64), torch.empty(total)
        source[place], weights[place] = row, weight
        source[first] = torch.arange(count)[own]
        weights[first] = scale[:count][own].square()
        rowptr = rowptr.clone()
        rowptr[1:] += before
        return rowptr, source, weights


def _looped(graph: Graph) -> Tensor | None:
    """Which nodes have a loop of their own; ``None`` where none has."""
    rowptr, col = graph.adj.indptr, graph.adj.indices
    found: list[NDArray[np.int64]] = []
    for start in range(0, graph.num_nodes, _ROWS):
        stop = min(start + _ROWS, graph.num_nodes)
        degree = np.diff(rowptr[start : stop + 1])
        rows = np.repeat(np.arange(start, stop, dtype=col.dtype), degree)
        edges = slice(rowptr[start], rowptr[stop])
        # One of weight 0 is none for the normalisation.
        found.append(rows[(rows == col[edges]) & (graph.adj.data[edges] > 0)])
    nodes = torch.from_numpy(np.concatenate(found).astype(np.int64))
    if not nodes.numel():
        return None
    looped = torch.zeros(graph.num_nodes, dtype=torch.bool)
    looped[nodes] = True
    return looped


def _csr(rowptr: Tensor, col: Tensor, weight: Tensor, sources: int) -> Tensor:
    with warnings.catch_warnings():
        # The layout is announced as beta, once; the indices are right as they are made.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            rowptr,
            col,
            weight,
            size=(rowptr.numel() - 1, sources),
            check_invariants=False,
        )
