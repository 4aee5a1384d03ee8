"""Sampled: the nodes and edges that were drawn around some seeds."""

from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor


class Sampled(NamedTuple):
    """A sampled graph, its nodes numbered by their place.

    Args:
        node: Ids of the nodes, seeds first, then in the order they were drawn in.
        row: The place of the source of each edge.
        col: The place of its target.
        edge: Which edge of the graph it is.
        num_nodes: Seeds, and how many nodes each hop added.
        num_edges: How many edges each hop drew.
        batch: Around which seed each node was drawn, where every seed has a graph of
            its own; else ``None``.
    """

    node: Tensor
    row: Tensor
    col: Tensor
    edge: Tensor
    num_nodes: list[int]
    num_edges: list[int]
    batch: Tensor | None = None

    @classmethod
    def of(
        cls,
        node: ArrayLike,
        row: ArrayLike,
        col: ArrayLike,
        edge: ArrayLike,
        num_nodes: list[int],
        num_edges: list[int],
        batch: ArrayLike | None = None,
    ) -> "Sampled":
        """From arrays."""
        given = (node, row, col, edge)
        tensors = [torch.as_tensor(part, dtype=torch.int64) for part in given]
        trees = None if batch is None else torch.as_tensor(batch, dtype=torch.int64)
        return cls(
            tensors[0], tensors[1], tensors[2], tensors[3], num_nodes, num_edges, trees
        )
