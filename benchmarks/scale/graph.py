"""The prepared graph, mapped, as the steps read it."""

import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.data.disk import load_disk


class MappedGraph(NamedTuple):
    """A graph whose arrays lie in files.

    Args:
        rowptr: Where the edges of each target begin, ``[N + 1]``.
        col: The source of each edge, ``[E]``.
        y: A class per node, ``[N]``.
        train_idx: Nodes that are trained on.
        num_classes: Number of classes.
    """

    rowptr: Tensor
    col: Tensor
    y: Tensor
    train_idx: Tensor
    num_classes: int

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return self.y.numel()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, which count as memory once they were read."""
        parts = (self.rowptr, self.col, self.y, self.train_idx)
        return sum(part.numel() * part.element_size() for part in parts)


def open_graph(folder: Path) -> MappedGraph:
    """Map what ``kdgraph prepare`` wrote."""
    graph = load_disk(folder)
    with warnings.catch_warnings():
        # Nothing is written to arrays that are mapped read-only.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        rowptr = torch.from_numpy(graph.adj.indptr)
        col = torch.from_numpy(graph.adj.indices)
    classes = graph.num_classes
    return MappedGraph(rowptr, col, graph.y, graph.train_idx, classes)
