"""Graphs by name or from a file, and the adjacency forms message passing takes.

``ClusterLoader`` and ``NeighborSampler`` are PyG's and need operations: they are
imported when they are asked for, so that graphs stand alone.
"""

from typing import TYPE_CHECKING, Any

from kdgraph.data.adjacency import (
    gcn_norm,
    to_edge_index,
    to_pyg_edge_index,
    to_torch_csr,
)
from kdgraph.data.disk import open_csr, open_order, prepare_graph, verify_graph
from kdgraph.data.edges import build_adjacency
from kdgraph.data.graph import Graph
from kdgraph.data.load import load_graph
from kdgraph.data.sbm import sbm
from kdgraph.data.stats import homophily

if TYPE_CHECKING:
    from kdgraph.data.cluster_loader import ClusterLoader
    from kdgraph.data.sampler import NeighborSampler

__all__ = [
    "ClusterLoader",
    "Graph",
    "NeighborSampler",
    "build_adjacency",
    "gcn_norm",
    "homophily",
    "load_graph",
    "open_csr",
    "open_order",
    "prepare_graph",
    "sbm",
    "to_edge_index",
    "to_pyg_edge_index",
    "to_torch_csr",
    "verify_graph",
]


def __getattr__(name: str) -> Any:
    if name == "ClusterLoader":
        from kdgraph.data.cluster_loader import ClusterLoader

        return ClusterLoader
    if name == "NeighborSampler":
        from kdgraph.data.sampler import NeighborSampler

        return NeighborSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
