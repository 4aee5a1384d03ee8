"""What spectral codes are computed with: the method, width and type that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from kdgraph.codes.diffusion import check_steps
from kdgraph.codes.subspace import PANEL

if TYPE_CHECKING:
    from kdgraph.codes.structure import Structure

Method = Literal["auto", "netmf", "prone", "diffusion"]

_DIM = 128
_SMOOTHING = 10
_LEAST_PRONE = 64
_LEAST_DIFFUSION = 8
_DENSE_WORK = 2e9
"""Entries times nodes up to which the dense matrix takes less than about a minute."""


@dataclass(frozen=True)
class Working:
    """How vectors are computed.

    Args:
        method: ``"netmf"``, ``"prone"`` or ``"diffusion"``.
        dim: Width of a vector.
        smoothing: Steps of the lazy walk.
        dtype: Of the arrays over nodes. (default: ``torch.float32``)
    """

    method: Method
    dim: int
    smoothing: int
    dtype: torch.dtype = torch.float32


def plan_working(
    graph: Structure,
    method: Method,
    dim: int | None,
    smoothing: int | None,
    memory: int,
) -> Working:
    """Choose what fits into ``memory`` bytes of float arrays over nodes.

    Raises:
        ValueError: An unknown method, sizes out of range, or too little memory.
    """
    if method not in get_args(Method):
        raise ValueError(
            "spectral_codes expects method as 'auto', 'netmf', 'prone' or 'diffusion', "
            f"got {method!r}"
        )
    wide = _DIM if dim is None else dim
    steps = _SMOOTHING if smoothing is None else smoothing
    check_steps(wide, steps, "spectral_codes")
    nodes = graph.shape[0]
    dense = 4 * nodes * (nodes + wide + PANEL)
    light = graph.nnz * nodes <= _DENSE_WORK
    if method == "netmf" or (method == "auto" and light and dense <= memory):
        _require(dense, memory, nodes, "netmf")
        return Working("netmf", wide, smoothing or 0)
    if method != "diffusion":
        # One more panel than the vectors have, for the product under way.
        if 4 * nodes * (_whole(wide) + PANEL) <= memory:
            return Working("prone", wide, steps)
        fits = memory // (2 * nodes) // PANEL * PANEL - PANEL
        least = min(wide, _LEAST_PRONE)
        if fits >= least:
            return Working("prone", min(wide, fits), steps, torch.bfloat16)
        if method == "prone":
            _require(2 * nodes * (_whole(least) + PANEL), memory, nodes, "prone")
    narrow = PANEL if dim is None else min(dim, PANEL)
    if 8 * nodes * narrow <= memory:
        return Working("diffusion", narrow, steps)
    _require(4 * nodes * min(narrow, _LEAST_DIFFUSION), memory, nodes, "diffusion")
    return Working(
        "diffusion", min(narrow, memory // (4 * nodes)), steps, torch.bfloat16
    )


def _whole(dim: int) -> int:
    return -(-dim // PANEL) * PANEL


def _require(needed: int, memory: int, nodes: int, method: str) -> None:
    if memory < needed:
        raise ValueError(
            f"spectral_codes expects memory of at least {needed} bytes for "
            f"method={method!r} on {nodes} nodes, got {memory}"
        )
