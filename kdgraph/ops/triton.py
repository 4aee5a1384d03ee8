"""The operations over codes by Triton kernels, for GPUs: what is launched on what.

What each must give, :mod:`kdgraph.ops.reference` says. Triton is optional: only what
asks for this implementation imports this module.
"""

from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
import triton
from torch import Tensor

from kdgraph.ops import _triton_kernels as kernels
from kdgraph.ops.check import check_codes_in_range, check_edges_in_range
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout

NAME = "triton"

_TILE = 2048
"""Numbers that a program holds at once: 16 registers of each of 128 threads."""

_THREAD_NUMBERS = 16

_TILE_EDGES = 32
"""Edges of a tile, at most: most nodes of a graph have no more."""

_UNITS = 2.0**62
"""What sums in fixed point stay below; int64 has as much again for their rounding."""

_SMALLEST = 1e-200
"""Keeps the scale of gradients that are all zero finite."""


def unavailable(device: str) -> str:
    """Why the kernels cannot run on a device; empty if they can."""
    interpreted = not isinstance(kernels.spmm, triton.JITFunction)
    if interpreted and device in ("cpu", "cuda"):
        return ""
    if device != "cuda":
        return (
            f"Triton compiles for GPUs, not for {device}; on the CPU its interpreter "
            "runs the kernels where TRITON_INTERPRET=1 was set before triton was "
            "imported"
        )
    try:
        triton.runtime.driver.active.get_current_target()
    except Exception as error:  # without a driver, or a compiler for what calls it
        return f"Triton finds no GPU that it can use: {error}"
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
    if check:
        check_edges_in_range(edges, codes.size(0))
        check_codes_in_range(codes, layout)
    tile = _tile(edges, codes, codebooks.size(1), layout)
    return _sums(edges, codes, codebooks, _tables(layout, codes.device), tile)


def grad_codebooks(
    grad: Tensor, edges: Edges, codes: Tensor, layout: Layout, *, width: int
) -> Tensor:
    """Gradient of a loss by the codebooks ``[R, S]``, from that by the sums.

    Where ``torch.use_deterministic_algorithms`` asks for it, sums are in fixed point,
    which do not depend on the order that programs add in. A gradient that is not finite
    then leaves nothing finite in its channel.
    """
    count = edges.count(codes.size(0))
    scale, kind = None, torch.float64
    if torch.are_deterministic_algorithms_enabled() and count:
        scale, kind = _scale(grad, edges, count, layout, width), torch.int64
    out = grad.new_zeros(layout.num_rows, width, dtype=kind)
    tile, tables = _tile(edges, codes, width, layout), _tables(layout, codes.device)
    operands = out, grad, scale, *edges[:3], codes, tables, count
    grid = _programs(edges, count, tile), _blocks(tile, "S"), _blocks(tile, "D")
    _launch(kernels.grad_codebooks, grid, operands, tile)
    return (out if scale is None else out / scale).float()


def grad_weight(
    grad: Tensor, edges: Edges, codes: Tensor, codebooks: Tensor, layout: Layout
) -> Tensor:
    """Gradient of a loss by the weights ``[E]``, from that by the sums."""
    count = edges.count(codes.size(0))
    out = grad.new_empty(count, dtype=torch.float32)
    tile = _tile(edges, codes, codebooks.size(1), layout)
    tables = _tables(layout, codes.device)
    _launch(
        kernels.grad_weight,
        (_programs(edges, count, tile), 1, 1),
        (out, grad, *edges[:2], codes, codebooks, tables, count),
        tile,
    )
    return out


def neighbor_sum(edges: Edges, x: Tensor, *, check: bool) -> Tensor:
    """Sums ``[M, C]`` of the weighted rows of a float table ``[N, C]``.

    The rows are codewords of one position, which node u reads row u of.
    """
    if check:
        check_edges_in_range(edges, x.size(0))
    layout = Layout((x.size(0),), packed=False, concat=True, shared=False)
    return _sums(edges, None, x, None, _tile(edges, x, x.size(1), layout))


def _sums(
    edges: Edges,
    codes: Tensor | None,
    codebooks: Tensor,
    tables: Tensor | None,
    tile: dict[str, int],
) -> Tensor:
    nodes = codebooks if codes is None else codes
    count, targets = edges.count(nodes.size(0)), edges.targets(nodes.size(0))
    side_by_side = tile["D"] if tile["CONCAT"] else 1
    out = codebooks.new_empty(targets, side_by_side * tile["S"])
    position_blocks = _blocks(tile, "D") if tile["CONCAT"] else 1
    _launch(
        kernels.spmm,
        (_programs(edges, count, tile), _blocks(tile, "S"), position_blocks),
        (out, *edges[:3], codes, codebooks, tables, count),
        tile,
    )
    return out


def _tile(edges: Edges, nodes: Tensor, width: int, layout: Layout) -> dict[str, int]:
    """What the kernels are compiled for: the layout, and the axes of a tile."""
    block_s = min(triton.next_power_of_2(width), _TILE)
    block_d = min(triton.next_power_of_2(layout.num_codebooks), _TILE // block_s)
    return {
        "D": layout.num_codebooks,
        "S": width,
        "STRIDE": nodes.size(1),
        "SPAN": _span(layout) if layout.packed else 0,
        "CONCAT": layout.concat,
        "MEAN": edges.mean and edges.rowptr is not None,
        "BLOCK_E": min(_TILE // (block_d * block_s), _TILE_EDGES),
        "BLOCK_D": block_d,
        "BLOCK_S": block_s,
    }


def _span(layout: Layout) -> int:
    """The largest number of bytes that a code lies in."""
    pairs = zip(_first_bits(layout), layout.bits, strict=True)
    return max((first % 8 + bits + 7) // 8 for first, bits in pairs)


def _first_bits(layout: Layout) -> list[int]:
    return [0, *accumulate(layout.bits)][:-1]


@lru_cache(maxsize=64)
def _tables(layout: Layout, device: torch.device) -> Tensor:
    """First row of the codebooks, first bit and bits of each position, ``[3, D]``."""
    columns = [layout.offsets, _first_bits(layout), layout.bits]
    return torch.tensor(columns, dtype=torch.int32, device=device)


def _scale(
    grad: Tensor, edges: Edges, count: int, layout: Layout, width: int
) -> Tensor:
    """Units per channel ``[S]``, float64, in which no row's sum can overflow."""
    peak = torch.linalg.vector_norm(grad.view(-1, width), torch.inf, dim=0).double()
    if edges.weight is not None:
        peak = peak * torch.linalg.vector_norm(edges.weight, torch.inf).double()
    terms = count * (layout.num_codebooks if layout.shared else 1)
    units: Tensor = _UNITS / (peak * terms).clamp(min=_SMALLEST)
    return units


def _programs(edges: Edges, count: int, tile: dict[str, int]) -> int:
    """How many programs share out the targets."""
    if edges.rowptr is None:
        return -(-count // tile["BLOCK_E"])
    return edges.rowptr.numel() - 1


def _blocks(tile: dict[str, int], axis: str) -> int:
    return -(-tile[axis] // tile[f"BLOCK_{axis}"])


def _launch(
    kernel: Any,
    grid: tuple[int, int, int],
    operands: tuple[Tensor | int | None, ...],
    tile: dict[str, int],
) -> None:
    """Run a kernel where its operands lie, the first of which it writes."""
    if not grid[0]:
        return
    numbers = tile["BLOCK_E"] * tile["BLOCK_D"] * tile["BLOCK_S"]
    warps = max(1, numbers // (32 * _THREAD_NUMBERS))
    with torch.cuda.device_of(operands[0]):  # type: ignore[no-untyped-call]
        kernel[grid](*operands, **tile, num_warps=warps, enable_fp_fusion=True)
