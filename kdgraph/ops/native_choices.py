"""Choices by queries and keys in the compiled core, and the gradient of a choice."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from kdgraph.ops.core import floats, load_core


class _Queries(ctypes.Structure):
    """``Queries`` of ``csrc/layout.h``."""

    _fields_ = (
        ("query", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("positions", ctypes.c_int32),
        ("choices", ctypes.c_int32),
        ("terms", ctypes.c_int32),
    )


class _SoftChoice(ctypes.Structure):
    """``SoftChoice`` of ``csrc/layout.h``."""

    _fields_ = (
        ("temperature", ctypes.c_float),
        ("codebooks", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("grad", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("additive", ctypes.c_int32),
        ("by_query", ctypes.c_void_p),
    )


def nearest(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """The best-scored choice of every position, ``int64`` ``[B, D]``."""
    query, keys, bias = floats(query), floats(keys), floats(bias)
    codes = torch.empty(query.shape[:2], dtype=torch.int64)
    given, detail = _queries(query, keys, bias), (ctypes.c_int64 * 3)()
    threads = torch.get_num_threads()
    status = load_core().kdgraph_nearest(
        ctypes.byref(given), threads, codes.data_ptr(), detail
    )
    _raise(status)
    return codes


def soft_gradient(
    query: Tensor,
    keys: Tensor,
    bias: Tensor,
    temperature: Tensor,
    codebooks: Tensor,
    grad: Tensor,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by queries, keys and bias; see ``softmax_gradient`` for the formula."""
    query, keys, bias = floats(query), floats(keys), floats(bias)
    codebooks, grad = floats(codebooks), floats(grad)
    scale = None if scale is None else floats(scale)
    by_query = torch.empty_like(query)
    by_keys, by_bias = torch.empty_like(keys), torch.empty_like(bias)
    given, detail = _queries(query, keys, bias), (ctypes.c_int64 * 3)()
    soft = _SoftChoice(
        temperature=float(temperature),
        codebooks=codebooks.data_ptr(),
        width=codebooks.size(-1),
        grad=grad.data_ptr(),
        scale=None if scale is None else scale.data_ptr(),
        additive=grad.dim() == 2,
        by_query=by_query.data_ptr(),
    )
    status = load_core().kdgraph_soft_gradient(
        ctypes.byref(given),
        ctypes.byref(soft),
        torch.get_num_threads(),
        by_keys.data_ptr(),
        by_bias.data_ptr(),
        detail,
    )
    _raise(status)
    return by_query, by_keys, by_bias


def _queries(query: Tensor, keys: Tensor, bias: Tensor) -> Any:
    rows, positions, terms = query.shape
    return _Queries(
        query=query.data_ptr(),
        keys=keys.data_ptr(),
        bias=bias.data_ptr(),
        rows=rows,
        positions=positions,
        choices=keys.size(1),
        terms=terms,
    )


def _raise(status: int) -> None:
    if status:
        raise MemoryError("choosing codes ran out of memory")
