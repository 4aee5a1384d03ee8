"""Packed rows of nodes as integers: in the compiled core, where it is."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.compat import eager
from kdgraph.ops.backend import implementation
from kdgraph.ops.core import BAD_SOURCE, load_core
from kdgraph.ops.packing import code_bits, unpack


def unpack_nodes(
    packed: Tensor, n_id: Tensor | None, codebook_sizes: Sequence[int]
) -> Tensor:
    """The codes of some nodes ``[B, D]``, or of all; only their rows are unpacked.

    Args:
        packed: ``uint8`` of shape ``[N, row_bytes(codebook_sizes)]``.
        n_id: Flat ids ``[B]``, or ``None`` for all nodes.
        codebook_sizes: The alphabet of each position, ``D`` of them.

    Raises:
        IndexError: Ids outside ``[0, N)``, on the CPU.

    Example:
        >>> from kdgraph.ops import pack
        >>> packed = pack(torch.tensor([[1, 2], [3, 0]]), [16, 16])
        >>> unpack_nodes(packed, torch.tensor([1]), [16, 16])
        tensor([[3, 0]])
    """
    if eager() and implementation(packed).NAME == "native":
        wide = None if n_id is None else n_id.long()
        return _in_core(packed.contiguous(), wide, tuple(codebook_sizes))
    if n_id is None:
        return unpack(packed, codebook_sizes)
    # Not an index_select: compiled, that takes negative ids for ids from the end.
    return unpack(functional.embedding(n_id, packed), codebook_sizes)


def _in_core(packed: Tensor, n_id: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    nodes, bytes_each = packed.shape
    rows = nodes if n_id is None else n_id.numel()
    n_id = None if n_id is None else n_id.contiguous()
    codes = torch.empty(rows, len(sizes), dtype=torch.int64)
    detail = (ctypes.c_int64 * 3)()
    status = load_core().kdgraph_unpack(
        packed.data_ptr(),
        nodes,
        bytes_each,
        None if n_id is None else n_id.data_ptr(),
        rows,
        _bits(sizes),
        len(sizes),
        torch.get_num_threads(),
        codes.data_ptr(),
        detail,
    )
    if status == BAD_SOURCE:
        raise IndexError(
            f"packed codes are of nodes in [0, {nodes}), got {detail[0]}; were local "
            "ids passed instead of batch.n_id?"
        )
    if status:
        raise MemoryError("unpacking codes ran out of memory")
    return codes


@cache
def _bits(sizes: tuple[int, ...]) -> Any:
    """Bits of each position, as the core takes them."""
    return (ctypes.c_int32 * len(sizes))(*map(code_bits, sizes))
