"""The edges of a graph, whatever it comes as, for what reads it in parts."""

import copy
import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from kdgraph.data.disk import DiskCSR
from kdgraph.data.graph import Graph
from kdgraph.ops import Pattern

Stores = tuple[FeatureStore, GraphStore]
"""What PyG's loaders take in the place of a ``Data``."""


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
    if isinstance(graph, Data) and graph.get("adj_t") is not None:
        return _of_adj_t(graph.adj_t)
    if isinstance(graph, HeteroData):
        raise TypeError(
            f"{owner} takes graphs of one type of nodes and edges, got "
            "HeteroData; take the edges of one type, or data.to_homogeneous()"
        )
    raise TypeError(
        f"{owner} expects a Graph of kdgraph.data, a Data with an edge_index or an "
        f"adj_t, or a Pattern of kdgraph.ops, got {type(graph).__name__}"
    )


def is_stores(graph: object) -> bool:
    """Whether it is a pair of a feature store and a graph store."""
    if not isinstance(graph, tuple | list) or len(graph) != 2:
        return False
    return isinstance(graph[0], FeatureStore) and isinstance(graph[1], GraphStore)


def _of_adj_t(adj_t: Any) -> Pattern:
    """Of a sparse matrix with targets in rows, its edges in the order of its rows."""
    if isinstance(adj_t, SparseTensor):
        rowptr, col, _ = adj_t.csr()
        return Pattern(rowptr.cpu(), col.cpu(), adj_t.size(1))
    if not is_torch_sparse_tensor(adj_t):
        raise TypeError(
            "adj_t is expected as torch.sparse or a torch_sparse.SparseTensor, got "
            f"{type(adj_t).__name__}"
        )
    csr = adj_t.cpu().to_sparse_csr()
    return Pattern(csr.crow_indices(), csr.col_indices(), csr.size(1))


def pattern_of_stores(stores: Stores, owner: str) -> Pattern:
    """The edges of a graph store.

    Raises:
        TypeError: Edges of several types, or of one that has a name.
    """
    store = stores[1]
    attrs = store.get_all_edge_attrs()
    if len(attrs) != 1 or attrs[0].edge_type is not None:
        types = [attr.edge_type for attr in attrs]
        raise TypeError(
            f"{owner} takes graphs of one type, stored under the edge type None, "
            f"got a GraphStore with {types}"
        )
    col, rowptr, order = store.csc()
    nodes = rowptr.numel() - 1
    size = attrs[0].size
    sources = nodes if size is None or size[0] is None else size[0]
    return Pattern(rowptr, col, sources, order)


def with_edge_index(data: Data, pattern: Pattern) -> Data:
    """A ``Data`` that PyG's loaders can cut, which do not know ``torch.sparse``.

    Args:
        data: What has an ``edge_index`` is given as it is; an ``adj_t`` of
            ``torch.sparse`` alone becomes ``edge_index`` and ``edge_weight``.
        pattern: Its edges.
    """
    adj_t = None if data.edge_index is not None else data.adj_t
    if adj_t is None or not is_torch_sparse_tensor(adj_t):
        return data
    data = copy.copy(data)
    del data.adj_t
    data.edge_index = torch.stack([pattern.col.long(), pattern.target.long()])
    values = adj_t.cpu().to_sparse_csr().values()
    if data.get("edge_weight") is None and bool((values != 1).any()):
        data.edge_weight = values
    data.num_nodes = pattern.num_targets
    return data


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
