"""Modules for PyG models: encoders of heterogeneous graphs."""

from kdgraph.nn.hetero import HeteroEncoder

__all__ = ["HeteroEncoder"]
