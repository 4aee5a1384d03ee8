"""The operations over codes by the compiled core: pointers and sizes in, numbers out.

It computes in float32; codebooks and gradients in half precision are widened,
and sums rounded, a block of targets at a time. What each must give,
:mod:`kdgraph.ops.reference` says.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from kdgraph.ops.check import (
    check_codes_in_range,
    check_edges_in_range,
    codes_in_range,
    raise_code,
    raise_rowptr,
    raise_source,
)
from kdgraph.ops.core import (
    BAD_CODE,
    BAD_ROWPTR,
    BAD_SOURCE,
    core_edges,
    floats,
    instruction_set,
    load_core,
)
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout

NAME = "native"

_BLOCK_ELEMENTS = 1 << 22
"""Sums that exist in two types at once, where codebooks are in half precision."""

_PANEL = 32
"""Columns to a multiple of which a matrix is filled up."""

_MAPPED_BYTES = 1 << 18
"""Bytes of a map that has room in a core's own cache beside a block of sums."""


class _Codes(ctypes.Structure):
    _fields_ = (
        ("codes", ctypes.c_void_p),
        ("nodes", ctypes.c_int64),
        ("row_bytes", ctypes.c_int64),
        ("positions", ctypes.c_int32),
        ("code_bytes", ctypes.c_int32),
        ("sizes", ctypes.c_void_p),
        ("bits", ctypes.c_void_p),
        ("first_row", ctypes.c_void_p),
        ("codebooks", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("concat", ctypes.c_int32),
    )


def unavailable(device: str) -> str:
    """Why the core cannot run on a device; empty if it can."""
    if device != "cpu":
        return f"it is for the CPU, not for {device}"
    try:
        load_core()
    except (ImportError, OSError) as error:
        return f"{error}"
    return ""


def gather(
    codes: Tensor,
    codebooks: Tensor,
    n_id: Tensor | None,
    layout: Layout,
    *,
    check: bool,
) -> Tensor:
    """Vectors ``[B, C]``: row i is composed from the codes of ``n_id[i]``."""
    return spmm(Edges(None, n_id), codes, codebooks, layout, check=check)


def spmm(
    edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout, *, check: bool
) -> Tensor:
    """Sums ``[M, C]`` of the weighted vectors of every target's sources."""
    edges, codes = _narrow(edges, codes, layout, check=check)
    books = floats(codebooks)
    width = layout.width(books.size(1))
    given = _Given(codes, layout, books, books.size(1))
    targets, total = edges.targets(codes.size(0)), edges.count(codes.size(0))
    out = codebooks.new_empty(targets, width)
    if not targets or not codes.size(0) or not total:
        return _without_edges(out, edges, codes.size(0), check=check)
    for rows, part in _target_blocks(edges, targets, total, width, out.dtype):
        sums = out if out.dtype == torch.float32 else books.new_empty(len(rows), width)
        given.call(load_core().kdgraph_spmm, part, sums, check=check)
        if sums is not out:
            out[rows.start : rows.stop] = sums
    return out


def grad_codebooks(
    grad: Tensor, edges: Edges, codes: Tensor, layout: Layout, *, width: int
) -> Tensor:
    """Gradient of a loss by the codebooks ``[R, S]``, from that by the sums."""
    edges, codes = _narrow(edges, codes, layout, check=False)
    given = _Given(codes, layout, None, width)
    total = edges.count(codes.size(0))
    found = torch.zeros(layout.num_rows, width)
    if not total or not grad.size(0):
        return found
    blocks = _target_blocks(edges, grad.size(0), total, grad.size(1), grad.dtype)
    for rows, part in blocks:
        own = floats(grad[rows.start : rows.stop])
        out = torch.empty_like(found)
        given.call(load_core().kdgraph_grad_codebooks, part, own, out)
        found += out
    return found


def fuses(codebooks: Tensor, matrix: Tensor) -> bool:
    """Whether sums are mapped while they are in a core's own cache.

    They are where the matrix has room there too, in float32; and the portable loops are
    no match for torch's product.
    """
    own = codebooks.dtype == matrix.dtype == torch.float32
    height, width = (-(-size // _PANEL) * _PANEL for size in matrix.shape)
    small = height * width * matrix.element_size() <= _MAPPED_BYTES
    return own and small and instruction_set() != "portable"


def linear(
    edges: Edges,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    layout: Layout,
    *,
    check: bool,
) -> Tensor:
    """Sums ``[M, H]``, mapped by the matrix ``[H, C]`` block by block."""
    edges, codes = _narrow(edges, codes, layout, check=check)
    books, matrix = floats(codebooks), floats(matrix)
    given = _Given(codes, layout, books, books.size(1))
    nodes = codes.size(0)
    out = books.new_empty(edges.targets(nodes), matrix.size(0))
    if not out.numel() or not edges.count(nodes):
        return _without_edges(out, edges, nodes, check=check)
    given.call(
        load_core().kdgraph_linear, edges, matrix, matrix.size(0), out, check=check
    )
    return out


def grad_linear(
    grad: Tensor,
    edges: Edges,
    codes: Tensor,
    codebooks: Tensor,
    matrix: Tensor,
    layout: Layout,
    *,
    needed: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients by codebooks ``[R, S]`` and matrix, from that by the mapped sums."""
    edges, codes = _narrow(edges, codes, layout, check=False)
    books, matrix, grad = floats(codebooks), floats(matrix), floats(grad)
    given = _Given(codes, layout, books, books.size(1))
    by_books = torch.zeros_like(books) if needed[0] else None
    by_matrix = torch.zeros_like(matrix) if needed[1] else None
    if grad.numel() and edges.count(codes.size(0)):
        run, height = load_core().kdgraph_grad_linear, matrix.size(0)
        given.call(run, edges, matrix, height, grad, by_books, by_matrix)
    return by_books, by_matrix


def grad_weight(
    grad: Tensor, edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout
) -> Tensor:
    """Gradient of a loss by the weights ``[E]``, from that by the sums."""
    edges, codes = _narrow(edges, codes, layout, check=False)
    books = floats(codebooks)
    given = _Given(codes, layout, books, books.size(1))
    total = edges.count(codes.size(0))
    found = torch.zeros(total)
    if not total or not grad.size(0):
        return found
    edges = edges._replace(weight=None)
    blocks = _target_blocks(edges, grad.size(0), total, grad.size(1), grad.dtype)
    for rows, part in blocks:
        own = floats(grad[rows.start : rows.stop])
        begin = 0 if part.rowptr is edges.rowptr else int(edges.rowptr[rows.start])  # type: ignore[index]
        out = found[begin : begin + part.count(codes.size(0))]
        given.call(load_core().kdgraph_grad_weight, part, own, out)
    return found


def neighbor_sum(edges: Edges, x: Tensor, *, check: bool) -> Tensor:
    """Sums ``[M, C]`` of the weighted rows of a float table ``[N, C]``."""
    rows = floats(x)
    out = torch.empty(edges.targets(x.size(0)), x.size(1))
    if not out.numel() or not edges.count(x.size(0)):
        return _without_edges(out, edges, x.size(0), check=check).to(x.dtype)
    given, keep = core_edges(edges, edges.targets(x.size(0)), x.size(0), check=check)
    detail = (ctypes.c_int64 * 3)()
    status = load_core().kdgraph_neighbor_sum(
        ctypes.byref(given), rows.data_ptr(), *rows.shape, out.data_ptr(), detail
    )
    del keep
    _raise(status, detail, edges, x.size(0), None)
    return out.to(x.dtype)


class _Given:
    """Codes and codebooks as the core takes them, alive as long as this."""

    def __init__(
        self, codes: Tensor, layout: Layout, books: Tensor | None, width: int
    ) -> None:
        self.nodes = codes.size(0)
        self.layout = layout
        self.keep = (
            codes,
            books,
            torch.tensor(layout.sizes, dtype=torch.int32),
            torch.tensor(layout.bits, dtype=torch.int32),
            torch.tensor(layout.offsets, dtype=torch.int64),
        )
        _, _, sizes, bits, first_row = self.keep
        self.codes = _Codes(
            codes=codes.data_ptr(),
            nodes=codes.size(0),
            row_bytes=codes.size(1) * codes.element_size(),
            positions=layout.num_codebooks,
            code_bytes=0 if layout.packed else codes.element_size(),
            sizes=sizes.data_ptr(),
            bits=bits.data_ptr(),
            first_row=first_row.data_ptr(),
            codebooks=None if books is None else books.data_ptr(),
            rows=layout.num_rows,
            width=width,
            concat=layout.concat,
        )

    def call(
        self,
        operation: Callable[..., int],
        edges: Edges,
        *numbers: Tensor | int | None,
        check: bool = False,
    ) -> None:
        """Run an operation over some edges, on numbers and tensors of them."""
        targets = edges.targets(self.nodes)
        given, keep = core_edges(edges, targets, self.nodes, check=check)
        detail = (ctypes.c_int64 * 3)()
        pointers = [x.data_ptr() if isinstance(x, Tensor) else x for x in numbers]
        status = operation(
            ctypes.byref(self.codes), ctypes.byref(given), *pointers, detail
        )
        del keep
        _raise(status, detail, edges, self.nodes, self.layout)


def _target_blocks(
    edges: Edges, targets: int, total: int, width: int, dtype: torch.dtype
) -> Iterator[tuple[range, Edges]]:
    """All targets at once, or blocks of them where numbers change their type."""
    if dtype == torch.float32:
        yield range(targets), edges
        return
    step = max(1, _BLOCK_ELEMENTS // width)
    for start in range(0, targets, step):
        stop = min(start + step, targets)
        if edges.rowptr is None:
            col = torch.arange(total) if edges.col is None else edges.col
            yield range(start, stop), edges._replace(col=col[start:stop])
            continue
        rowptr = edges.rowptr[start : stop + 1]
        first, last = int(rowptr[0]), int(rowptr[-1])
        yield (
            range(start, stop),
            edges._replace(
                rowptr=rowptr - first,
                col=None if edges.col is None else edges.col[first:last],
                weight=None if edges.weight is None else edges.weight[first:last],
            ),
        )


def _narrow(
    edges: Edges, codes: Tensor, layout: Layout, *, check: bool
) -> tuple[Edges, Tensor]:
    """Codes of at most two bytes, which is what their alphabets allow.

    Where edges are few, or some codes are wrong and perhaps not read, only rows that
    are read are looked at, one per edge then.
    """
    largest = max(layout.sizes)
    fits = codes.dtype == torch.uint8 or (
        codes.dtype == torch.int16 and largest <= torch.iinfo(torch.int16).max + 1
    )
    if fits:
        return edges, codes
    col = edges.col
    if col is not None and (
        col.numel() < codes.size(0) or (check and not codes_in_range(codes, layout))
    ):
        if check:
            check_edges_in_range(edges, codes.size(0))
        codes, edges = codes.index_select(0, col), edges._replace(col=None)
    if check:
        check_codes_in_range(codes, layout)
    # From two bytes on the core reads codes as unsigned.
    return edges, codes.to(torch.uint8 if largest <= 256 else torch.int16)


def _without_edges(out: Tensor, edges: Edges, nodes: int, *, check: bool) -> Tensor:
    """Zeros, after the checks that the core would have made."""
    if check:
        check_edges_in_range(edges, nodes)
    return out.zero_()


def _raise(
    status: int, detail: Any, edges: Edges, nodes: int, layout: Layout | None
) -> None:
    if status == BAD_ROWPTR:
        raise_rowptr(edges.count(nodes))
    if status == BAD_SOURCE:
        raise_source(detail[0], nodes)
    if status == BAD_CODE and layout is not None:
        raise_code(detail[0], detail[1], layout)
    if status:
        raise MemoryError("the operations over codes ran out of memory")
