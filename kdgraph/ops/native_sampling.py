"""Neighbours at random by the compiled core."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from kdgraph.ops.core import BAD_ROWPTR, BAD_SOURCE, core_edges, load_core
from kdgraph.ops.edges import Edges
from kdgraph.ops.sampled import Sampled


def sample(
    rowptr: Tensor,
    col: Tensor,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    replace: bool,
    seed: int,
) -> Sampled:
    """Draw hop by hop; see :func:`kdgraph.ops.sample_neighbors`."""
    core, nodes = load_core(), rowptr.numel() - 1
    # Sources are checked as they are drawn, which reads no others.
    graph, keep = core_edges(Edges(rowptr, col), nodes, nodes, check=False)
    wanted = torch.tensor(fanouts)
    status, detail = ctypes.c_int32(), (ctypes.c_int64 * 3)()
    drawn = core.kdgraph_sample(
        ctypes.byref(graph),
        seeds.data_ptr(),
        seeds.numel(),
        wanted.data_ptr(),
        len(fanouts),
        replace,
        seed,
        ctypes.byref(status),
        detail,
    )
    del keep
    if drawn is None:
        _raise(status.value, detail[0], nodes, col.numel())
    try:
        return _taken(core, drawn, len(fanouts))
    finally:
        core.kdgraph_sample_free(drawn)


def _taken(core: ctypes.CDLL, drawn: int, hops: int) -> Sampled:
    """What was drawn, as tensors."""
    nodes = torch.empty(hops + 1, dtype=torch.int64)
    edges = torch.empty(hops, dtype=torch.int64)
    core.kdgraph_sample_sizes(drawn, nodes.data_ptr(), edges.data_ptr())
    count, total = int(nodes.sum()), int(edges.sum())
    node = torch.empty(count, dtype=torch.int64)
    row, col, edge = torch.empty((3, total), dtype=torch.int64)
    parts = (node, row, col, edge)
    core.kdgraph_sample_take(drawn, *(part.data_ptr() for part in parts))
    return Sampled(*parts, nodes.tolist(), edges.tolist())


def _raise(status: int, detail: int, nodes: int, edges: int) -> None:
    if status == BAD_ROWPTR:
        raise ValueError(
            f"sample_neighbors expects rowptr to rise from 0 to the {edges} edges, got "
            "one that does not"
        )
    if status == BAD_SOURCE:
        raise IndexError(
            f"sample_neighbors expects nodes in [0, {nodes}), got {detail}"
        )
    raise MemoryError("sample_neighbors ran out of memory")
