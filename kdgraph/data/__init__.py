"""Graphs by name or from a file, and the adjacency forms message passing takes."""

from kdgraph.data.adjacency import (
    gcn_norm,
    to_edge_index,
    to_pyg_edge_index,
    to_torch_csr,
)
from kdgraph.data.disk import open_csr, prepare_graph, verify_graph
from kdgraph.data.edges import build_adjacency
from kdgraph.data.graph import Graph
from kdgraph.data.load import load_graph
from kdgraph.data.sampler import NeighborSampler
from kdgraph.data.sbm import sbm
from kdgraph.data.stats import homophily

__all__ = [
    "Graph",
    "NeighborSampler",
    "build_adjacency",
    "gcn_norm",
    "homophily",
    "load_graph",
    "open_csr",
    "prepare_graph",
    "sbm",
    "to_edge_index",
    "to_pyg_edge_index",
    "to_torch_csr",
    "verify_graph",
]
