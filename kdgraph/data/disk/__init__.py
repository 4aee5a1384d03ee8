"""Graphs that lie in files, mapped and not read."""

from kdgraph.data.disk.build import Prepared
from kdgraph.data.disk.load import load_disk
from kdgraph.data.disk.order import open_order
from kdgraph.data.disk.prepare import prepare_graph
from kdgraph.data.disk.reader import DiskCSR, open_csr, verify_graph

__all__ = [
    "DiskCSR",
    "Prepared",
    "load_disk",
    "open_csr",
    "open_order",
    "prepare_graph",
    "verify_graph",
]
