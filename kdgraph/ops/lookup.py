"""Looking code vectors up in the codebooks, one per position or their sum."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.compat import apply, eager, transforming
from kdgraph.ops.backend import implementation
from kdgraph.ops.core import BAD_CODE, floats, load_core
from kdgraph.ops.operation import operation


def lookup(codes: Tensor, codebooks: Tensor, offsets: Tensor) -> Tensor:
    r"""Take one codeword per position: :math:`e_{v,j} = C_j[k_{v,j}]`.

    Args:
        codes: ``[B, D]`` integers, column ``j`` in ``[0, K_j)``.
        codebooks: All codebooks on one axis, ``[sum(K_j), d]``, or ``[K, d]`` where
            the positions share one.
        offsets: ``[D]``, the first row of each position's codebook.

    Returns:
        Code vectors ``[B, D, d]``.
    """
    learns = torch.is_grad_enabled() and codebooks.requires_grad
    if not learns and codes.dtype == torch.int64 and _by_core(codebooks):
        return _looked_up(codes.contiguous(), floats(codebooks), offsets)
    vectors: Tensor = apply(_Lookup, codes + offsets, codebooks)
    return vectors


def _by_core(codebooks: Tensor) -> bool:
    own = eager() and codebooks.dtype == torch.float32
    return own and implementation(codebooks).NAME == "native"


def _looked_up(codes: Tensor, books: Tensor, offsets: Tensor) -> Tensor:
    out, detail = torch.empty(*codes.shape, books.size(1)), (ctypes.c_int64 * 3)()
    status = load_core().kdgraph_lookup(
        codes.data_ptr(),
        offsets.data_ptr(),
        *codes.shape,
        books.data_ptr(),
        *books.shape,
        torch.get_num_threads(),
        out.data_ptr(),
        detail,
    )
    if status == BAD_CODE:
        raise IndexError(
            f"codes address codewords in [0, {books.size(0)}), got one beyond; check "
            "where the codes come from"
        )
    if status:
        raise MemoryError("looking codes up ran out of memory")
    return out


def lookup_sum(
    codes: Tensor, codebooks: Tensor, offsets: Tensor, scale: Tensor | None = None
) -> Tensor:
    r"""Sum the codewords of a row: :math:`\sum_j s_{v,j} C_j[k_{v,j}]`.

    The ``[B, D, d]`` code vectors are never formed.

    Args:
        codes: ``[B, D]`` integers, column ``j`` in ``[0, K_j)``.
        codebooks: ``[sum(K_j), d]`` or shared ``[K, d]``.
        offsets: ``[D]``, the first row of each position's codebook.
        scale: Weights ``[B, D]``, or ``None`` for ones.

    Returns:
        ``[B, d]``.
    """
    if transforming():
        # Torch maps over an embedding bag one by one.
        vectors = lookup(codes, codebooks, offsets)
        return (vectors if scale is None else vectors * scale.unsqueeze(-1)).sum(dim=1)
    index = codes + offsets
    if scale is not None and scale.requires_grad:
        return _bag(index, codebooks, scale)
    sums: Tensor = apply(_LookupSum, index, codebooks, scale)
    return sums


def lookup_gradient(
    index: Tensor, grad: Tensor, scale: Tensor | None, num_rows: int
) -> Tensor:
    """The gradient of lookups by the codebooks ``[R, d]``.

    The embedding's own sorts for large tables, and the bag's goes through it row by
    row; adding in place is ten to seventy times faster where a codebook has a few
    hundred rows. Where a gradient of the gradient is wanted, plain torch gives it.

    Args:
        index: Rows ``[B, D]`` that were looked up.
        grad: By the code vectors ``[B, D, d]``, or by their sum ``[B, d]``.
        scale: Weights ``[B, D]`` in that sum, or ``None``.
        num_rows: R.
    """
    if not torch.is_grad_enabled():
        found: Tensor = _lookup_gradient(index, grad, scale, num_rows)
        return found
    return _added(index, grad, scale, num_rows)


@operation("lookup_gradient")
def _lookup_gradient(
    index: Tensor, grad: Tensor, scale: Tensor | None, num_rows: int
) -> Tensor:
    if grad.dtype == torch.float32 and implementation(grad).NAME == "native":
        return _in_core(index.contiguous(), floats(grad), scale, num_rows)
    return _added(index, grad, scale, num_rows)


def _added(index: Tensor, grad: Tensor, scale: Tensor | None, num_rows: int) -> Tensor:
    if grad.dim() == 2:
        grad = grad.unsqueeze(1)
        if scale is not None:
            grad = grad * scale.unsqueeze(-1).to(grad.dtype)
        grad = grad.expand(-1, index.size(1), -1)
    rows = grad.reshape(-1, grad.size(-1))
    found = rows.new_zeros(num_rows, rows.size(-1))
    return found.index_add(0, index.reshape(-1), rows)


def _in_core(
    index: Tensor, grad: Tensor, scale: Tensor | None, num_rows: int
) -> Tensor:
    width, additive = grad.size(-1), grad.dim() == 2
    scale = None if scale is None else floats(scale)
    out, detail = torch.empty(num_rows, width), (ctypes.c_int64 * 3)()
    status = load_core().kdgraph_lookup_gradient(
        index.data_ptr(),
        *index.shape,
        grad.data_ptr(),
        None if scale is None else scale.data_ptr(),
        width,
        additive,
        num_rows,
        torch.get_num_threads(),
        out.data_ptr(),
        detail,
    )
    if status:
        raise MemoryError("the gradient of lookups ran out of memory")
    return out


@_lookup_gradient.fake
def _(index: Tensor, grad: Tensor, scale: Tensor | None, num_rows: int) -> Tensor:  # noqa: ARG001
    return grad.new_empty(num_rows, grad.size(-1))


def _bag(index: Tensor, codebooks: Tensor, scale: Tensor | None) -> Tensor:
    return functional.embedding_bag(
        index, codebooks, mode="sum", per_sample_weights=scale
    )


class _Lookup(torch.autograd.Function):
    """Rows by index, with a backward pass made for few rows and many indices."""

    generate_vmap_rule = True

    @staticmethod
    def forward(index: Tensor, weight: Tensor) -> Tensor:
        return functional.embedding(index, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        index, weight = inputs
        ctx.save_for_backward(index)
        ctx.num_rows = weight.size(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (index,) = ctx.saved_tensors
        return None, lookup_gradient(index, grads[0], None, ctx.num_rows)


class _LookupSum(torch.autograd.Function):
    """Sums of rows by index, with such a backward pass too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(index: Tensor, weight: Tensor, scale: Tensor | None) -> Tensor:
        return _bag(index, weight, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        index, weight, scale = inputs
        ctx.save_for_backward(index, scale)
        ctx.num_rows = weight.size(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        index, scale = ctx.saved_tensors
        return None, lookup_gradient(index, grads[0], scale, ctx.num_rows), None
