"""The edges among some nodes, by the compiled core."""

import ctypes

import torch
from torch import Tensor

from kdgraph.ops.core import BAD_ROWPTR, BAD_SOURCE, TWICE, core_edges, load_core
from kdgraph.ops.edges import Edges
from kdgraph.ops.reference_subgraph import raise_rowptr, raise_source, raise_twice


def induce(rowptr: Tensor, col: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and edge; see :func:`kdgraph.ops.induced_subgraph`."""
    core, count = load_core(), rowptr.numel() - 1
    # Sources are checked as they are looked up, which reads no others.
    graph, keep = core_edges(Edges(rowptr, col), count, count, check=False)
    status, detail = ctypes.c_int32(), (ctypes.c_int64 * 3)()
    found = core.kdgraph_subgraph(
        ctypes.byref(graph),
        nodes.data_ptr(),
        nodes.numel(),
        ctypes.byref(status),
        detail,
    )
    del keep
    if found is None:
        _raise(status.value, detail[0], count, col.numel())
    try:
        total = core.kdgraph_subgraph_edges(found)
        row, target, edge = torch.empty((3, total), dtype=torch.int64)
        parts = (row, target, edge)
        core.kdgraph_subgraph_take(found, *(part.data_ptr() for part in parts))
        return parts
    finally:
        core.kdgraph_subgraph_free(found)


def _raise(status: int, detail: int, nodes: int, edges: int) -> None:
    if status == TWICE:
        raise_twice(detail)
    if status == BAD_ROWPTR:
        raise_rowptr(edges)
    if status == BAD_SOURCE:
        raise_source(detail, nodes)
    raise MemoryError("induced_subgraph ran out of memory")
