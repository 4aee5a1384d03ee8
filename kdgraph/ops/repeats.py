"""Ids that repeat in a batch: composed once, their gradients added up."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from kdgraph.compat import apply, eager
from kdgraph.ops.backend import implementation
from kdgraph.ops.core import floats, load_core

FEWEST_IDS = 4096
"""Ids below which a batch takes less time than finding its repeats."""

_SAMPLE = 1024


def distinct(n_id: Tensor) -> tuple[Tensor, Tensor] | None:
    """Each id once, and the place of every id among those; or ``None``.

    A look at a sample of the batch says whether ids repeat: of ``s`` ids drawn from U
    different ones about :math:`s^2 / 2 U` are seen a second time. ``None`` where that
    says that there are more than half as many different ids as ids, where a batch is
    small, on accelerators, in compiled code and under ``torch.func``.

    Args:
        n_id: ``int64`` ``[B]``.

    Returns:
        Ids ``[U]`` and places ``[B]``, with ``ids[places]`` the batch.

    Example:
        >>> ids, places = distinct(torch.arange(10_000) % 3)
        >>> ids, places[:5]
        (tensor([0, 1, 2]), tensor([0, 1, 2, 0, 1]))
    """
    count = n_id.numel()
    if n_id.device.type != "cpu" or count < FEWEST_IDS or not eager():
        return None
    # Places that no period of the batch is likely to share.
    sample = n_id[torch.arange(_SAMPLE) * 7919 % count].sort().values
    seen = int((sample[1:] == sample[:-1]).sum())
    if seen * count < _SAMPLE * _SAMPLE:
        return None
    if implementation(n_id).NAME != "native":
        ids, places = torch.unique(n_id, return_inverse=True)
        return ids, places
    n_id = n_id.contiguous()
    ids, places = torch.empty_like(n_id), torch.empty_like(n_id)
    detail = (ctypes.c_int64 * 3)()
    status = load_core().kdgraph_distinct(
        n_id.data_ptr(), count, ids.data_ptr(), places.data_ptr(), detail
    )
    if status:
        raise MemoryError("finding ids that repeat ran out of memory")
    return ids[: detail[0]].clone(), places


def repeat(rows: Tensor, places: Tensor) -> Tensor:
    """Rows ``[U, C]`` at places ``[B]``, ``rows[places]``, with a fast gradient."""
    repeated: Tensor = apply(_Repeat, rows, places)
    return repeated


class _Repeat(torch.autograd.Function):
    """Rows that are repeated; each gets the sum of its repeats' gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, places: Tensor) -> Tensor:
        return rows.index_select(0, places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        rows, places = inputs
        ctx.save_for_backward(places)
        ctx.num_rows = rows.size(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,), grad = ctx.saved_tensors, grads[0]
        native = (
            not torch.is_grad_enabled()
            and grad.dtype == torch.float32
            and implementation(grad).NAME == "native"
        )
        found = grad.new_zeros(ctx.num_rows, grad.size(1))
        if not native:
            return found.index_add(0, places, grad), None
        grad, detail = floats(grad), (ctypes.c_int64 * 3)()
        status = load_core().kdgraph_add_repeats(
            places.data_ptr(),
            grad.data_ptr(),
            *grad.shape,
            found.data_ptr(),
            torch.get_num_threads(),
            detail,
        )
        if status:
            raise MemoryError("adding up gradients ran out of memory")
        return found, None
