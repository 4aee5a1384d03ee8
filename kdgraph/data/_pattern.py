"""The edges of a graph, whatever it comes as, for what reads it in parts."""

import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from kdgraph.data.disk import DiskCSR
from kdgraph.data.graph import Graph
from kdgraph.ops import Pattern


def pattern_of(graph: Graph | DiskCSR | Data | Pattern, owner: str) -> Pattern:
    """The edges, shared with the graph as far as they are sorted by target already.

    Raises:
        TypeError: Another kind of graph.
    """
    if isinstance(graph, Pattern):
        return graph
    if isinstance(graph, Graph):
        rowptr, col = wrap(graph.adj.indptr), wrap(graph.adj.indices)
        return Pattern(rowptr, col, graph.num_nodes)
    if isinstance(graph, DiskCSR):
        return Pattern(wrap(graph.rowptr), wrap(graph.col), graph.num_nodes)
    if isinstance(graph, Data) and graph.edge_index is not None:
        source, target = graph.edge_index.cpu()
        return Pattern.of_edges(source, target, (graph.num_nodes, graph.num_nodes))
    raise TypeError(
        f"{owner} expects a Graph of kdgraph.data, a Data with an edge_index, or a "
        f"Pattern of kdgraph.ops, got {type(graph).__name__}"
    )


def placeholder(num_nodes: int, **parts: Tensor | None) -> Data:
    """A ``Data`` with what nodes have, and no edges: PyG puts in those of a batch."""
    edges = torch.empty((2, 0), dtype=torch.int64)
    return Data(edge_index=edges, num_nodes=num_nodes, **parts)


def wrap(array: NDArray[Any]) -> Tensor:
    """A tensor over an array that nobody writes to."""
    with warnings.catch_warnings():
        # Of arrays mapped from a file; nothing is written to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)
