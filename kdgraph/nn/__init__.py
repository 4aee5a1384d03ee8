"""Modules for PyG models: layers over codes, encoders of heterogeneous graphs."""

from kdgraph.nn.dropout import Dropout
from kdgraph.nn.feature_store import KDFeatureStore
from kdgraph.nn.gat_conv import CodedGATConv
from kdgraph.nn.gcn_conv import CodedGCNConv
from kdgraph.nn.gin_conv import CodedGINConv
from kdgraph.nn.hetero import HeteroEncoder
from kdgraph.nn.sage_conv import CodedSAGEConv
from kdgraph.nn.table import TableEncoder

__all__ = [
    "CodedGATConv",
    "CodedGCNConv",
    "CodedGINConv",
    "CodedSAGEConv",
    "Dropout",
    "HeteroEncoder",
    "KDFeatureStore",
    "TableEncoder",
]
