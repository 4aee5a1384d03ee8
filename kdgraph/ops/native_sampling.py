"""Neighbours at random by the compiled core."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from kdgraph.ops.native import load_core
from kdgraph.ops.sampled import Sampled

_BAD_ROWPTR, _BAD_SOURCE = 1, 2


class _Graph(ctypes.Structure):
    _fields_ = (
        ("rowptr64", ctypes.c_void_p),
        ("rowptr32", ctypes.c_void_p),
        ("col64", ctypes.c_void_p),
        ("col32", ctypes.c_void_p),
        ("nodes", ctypes.c_int64),
        ("edges", ctypes.c_int64),
        ("threads", ctypes.c_int32),
    )


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
    core, nodes = _core(), rowptr.numel() - 1
    graph = _Graph(
        **{_pointer("rowptr", rowptr): rowptr.data_ptr()},
        **{_pointer("col", col): col.data_ptr()},
        nodes=nodes,
        edges=col.numel(),
        threads=torch.get_num_threads(),
    )
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


def _pointer(name: str, index: Tensor) -> str:
    return name + ("64" if index.dtype == torch.int64 else "32")


def _raise(status: int, detail: int, nodes: int, edges: int) -> None:
    if status == _BAD_ROWPTR:
        raise ValueError(
            f"sample_neighbors expects rowptr to rise from 0 to the {edges} edges, got "
            "one that does not"
        )
    if status == _BAD_SOURCE:
        raise IndexError(
            f"sample_neighbors expects nodes in [0, {nodes}), got {detail}"
        )
    raise MemoryError("sample_neighbors ran out of memory")


@cache
def _core() -> Any:
    core = load_core()
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    core.kdgraph_sample.restype = pointer
    core.kdgraph_sample.argtypes = [
        *(pointer, pointer, size, pointer, size),
        *(ctypes.c_int32, ctypes.c_uint64, pointer, pointer),
    ]
    core.kdgraph_sample_sizes.argtypes = [pointer] * 3
    core.kdgraph_sample_take.argtypes = [pointer] * 5
    core.kdgraph_sample_free.argtypes = [pointer]
    return core
