"""Rounding to what a file keeps, bfloat16 or 8-bit integers, straight through."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from kdgraph.compat import apply, eager
from kdgraph.ops.backend import implementation
from kdgraph.ops.core import load_core
from kdgraph.ops.positions import pad_positions

Storage = Literal["bfloat16", "int8"] | None
"""How a weight is kept: rounded to bfloat16 or to 8 bits, or as it was trained."""


class Stored(NamedTuple):
    """A weight as it is kept.

    Args:
        values: ``[R, d]`` or ``[d]``.
        scale: ``bfloat16`` ``[G]``, what a step of each group of rows is worth, where
            the values are 8-bit integers; else ``None``.
    """

    values: Tensor
    scale: Tensor | None = None


def store(weight: Tensor, storage: Storage, sizes: Sequence[int]) -> Stored:
    r"""Round a weight to what is kept of it.

    ``"bfloat16"`` rounds to the nearest, ties to even. ``"int8"`` is symmetric, with a
    scale for each group of rows,

    .. math:: s_g = \mathrm{bfloat16}(\max_{i \in g} |w_i| / 127), \quad
        q_i = \mathrm{round}(w_i / s_g) \in [-127, 127]

    Eight bits of scale times seven of :math:`q` are exact in ``float32``; so rounding
    what was rounded changes nothing. For weights in half precision the scale is
    the next power of two, as no other product would be exact. Vectors, such as a bias,
    are kept in bfloat16 instead: a scale would not pay.

    Args:
        weight: ``[R, d]``, or ``[d]``, of any floating-point type.
        storage: How it is kept; ``None`` returns it as it is.
        sizes: Rows of each group, ``G`` of them.

    Example:
        >>> store(torch.tensor([[-1.27, 0.02], [0.0, 0.0]]), "int8", [1, 1]).values
        tensor([[-127,    2],
                [   0,    0]], dtype=torch.int8)
    """
    if storage is None:
        return Stored(weight)
    if storage == "bfloat16" or weight.dim() == 1:
        return Stored(_bfloat16(weight))
    scale = _scale(weight, sizes)
    values = (weight / _by_row(scale, sizes, weight.dtype)).round()
    return Stored(values.to(torch.int8), scale)


def restore(stored: Stored, sizes: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The numbers that a stored weight stands for.

    Args:
        stored: What :func:`store` gave.
        sizes: Rows of each group, as they were then.
        dtype: The type the weight had then.
    """
    values = stored.values.to(dtype)
    if stored.scale is None:
        return values
    return values * _by_row(stored.scale, sizes, dtype)


def as_stored(weight: Tensor, storage: Storage, sizes: Sequence[int]) -> Tensor:
    """A weight as it will be read back, with the gradient of one not rounded.

    The straight-through estimator (Bengio et al., 2013) on the rounding, as
    quantisation-aware training has it. One pass over the weight.

    Args:
        weight: ``[R, d]`` or ``[d]``.
        storage: How it is kept.
        sizes: Rows of each group.

    Returns:
        The same shape and type.

    Example:
        >>> weight = torch.tensor([[1.001, 0.0]], requires_grad=True)
        >>> as_stored(weight, "bfloat16", [1]).sum().backward()
        >>> weight.grad
        tensor([[1., 1.]])
    """
    if storage is None:
        return weight
    kept = _rounded(weight.detach(), storage, sizes)
    rounded: Tensor = apply(_StraightThrough, weight, kept)
    return rounded


def _rounded(weight: Tensor, storage: Storage, sizes: Sequence[int]) -> Tensor:
    """What is read back of a weight that is stored; by the core, in one call."""
    integers = storage == "int8" and weight.dim() == 2 and weight.dtype == torch.float32
    if not integers or not eager() or implementation(weight).NAME != "native":
        return restore(store(weight, storage, sizes), sizes, weight.dtype)
    weight = weight.contiguous()
    out = torch.empty_like(weight)
    load_core().kdgraph_round_int8(
        weight.data_ptr(),
        _rows(tuple(sizes)),
        len(sizes),
        weight.size(1),
        out.data_ptr(),
    )
    return out


@cache
def _rows(sizes: tuple[int, ...]) -> Any:
    """Rows of each group, as the core takes them."""
    return (ctypes.c_int64 * len(sizes))(*sizes)


class _StraightThrough(torch.autograd.Function):
    """``kept`` forward, the gradient to ``weight`` backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, kept: Tensor) -> Tensor:  # noqa: ARG004
        return kept.view_as(kept)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grads[0], None


def _bfloat16(x: Tensor) -> Tensor:
    """Round to the nearest bfloat16, ties to even, and be it in generated code.

    Which takes a cast to a narrower type and back for nothing, and leaves it out. So
    there the bits that bfloat16 has no room for are rounded away before the cast.
    """
    if not torch.compiler.is_compiling():
        return x.bfloat16()
    x = x.float()
    bits = x.view(torch.int32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
    return torch.where(x.isnan(), x, nearest.view(torch.float32)).bfloat16()


def _scale(weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """What a step is worth in each group, above zero also where all rows are zero."""
    peaks = weight.abs().amax(dim=1).float()
    peak = pad_positions(peaks, sizes, fill=0.0).amax(dim=-1)
    smallest = max(torch.finfo(kind).tiny for kind in (weight.dtype, torch.bfloat16))
    scale = _bfloat16((peak / 127).clamp(min=smallest))
    if weight.dtype.itemsize >= torch.float32.itemsize:
        return scale
    mantissa, exponent = torch.frexp(scale.float())  # mantissa in [0.5, 1)
    return torch.ldexp((mantissa > 0.5).float() / 2 + 0.5, exponent).bfloat16()


def _by_row(scale: Tensor, sizes: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The scale of each row's group, ``[R, 1]``."""
    groups = zip(scale.to(dtype).unbind(), sizes, strict=True)
    return torch.cat([step.expand(size) for step, size in groups]).unsqueeze(1)
