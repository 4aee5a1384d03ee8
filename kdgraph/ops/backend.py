"""Which implementation of the operations over codes is at work."""

import logging
import os
from functools import cache
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout

BACKENDS = ("reference", "native", "triton")
VARIABLE = "KDGRAPH_BACKEND"

_LOGGER = logging.getLogger("kdgraph")


class Implementation(Protocol):
    """What ``reference``, ``native`` and ``triton`` have in common.

    The modules' functions; :mod:`kdgraph.ops.reference` says what each must give.
    """

    NAME: str

    def gather(
        self,
        codes: Tensor,
        codebooks: Tensor,
        n_id: Tensor | None,
        layout: Layout,
        *,
        check: bool,
    ) -> Tensor:
        """Vectors of nodes."""

    def spmm(
        self,
        edges: Edges,
        codes: Tensor,
        codebooks: Tensor,
        layout: Layout,
        *,
        check: bool,
    ) -> Tensor:
        """Weighted sums of vectors along edges."""

    def grad_codebooks(
        self, grad: Tensor, edges: Edges, codes: Tensor, layout: Layout, *, width: int
    ) -> Tensor:
        """Gradient by the codebooks, at least float32."""

    def grad_weight(
        self,
        grad: Tensor,
        edges: Edges,
        codes: Tensor,
        codebooks: Tensor,
        layout: Layout,
    ) -> Tensor:
        """Gradient by the weights of edges, at least float32."""

    def neighbor_sum(self, edges: Edges, x: Tensor, *, check: bool) -> Tensor:
        """Weighted sums of float rows along edges."""


@runtime_checkable
class Fused(Protocol):
    """An implementation that maps sums while they are made, for some tensors.

    The others do it by :mod:`kdgraph.ops.unfused`.
    """

    def fuses(self, codebooks: Tensor, matrix: Tensor) -> bool:
        """Whether it does for these."""

    def linear(
        self,
        edges: Edges,
        codes: Tensor,
        codebooks: Tensor,
        matrix: Tensor,
        layout: Layout,
        *,
        check: bool,
    ) -> Tensor:
        """Sums of vectors along edges, times the transposed matrix."""

    def grad_linear(
        self,
        grad: Tensor,
        edges: Edges,
        codes: Tensor,
        codebooks: Tensor,
        matrix: Tensor,
        layout: Layout,
        *,
        needed: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients by the codebooks and the matrix, as far as they are needed."""


def backend(device: str | torch.device = "cpu") -> str:
    """Which implementation runs ``coded_gather`` and ``coded_spmm`` on a device.

    ``"native"``, the compiled core, on the CPU, where the package was installed with a
    compiler; ``"triton"`` on CUDA, where Triton is there; ``"reference"``, plain torch,
    everywhere else, and for float64 always. The environment variable
    ``KDGRAPH_BACKEND`` asks for one of them.

    Args:
        device: Where tensors lie. (default: ``"cpu"``)

    Raises:
        ValueError: ``KDGRAPH_BACKEND`` names no implementation.
        RuntimeError: It names one that is not to be had on that device.

    Example:
        >>> backend() in ("native", "reference", "triton")
        True
    """
    return _choose(torch.device(device).type, os.environ.get(VARIABLE, ""))


def implementation(tensor: Tensor) -> Implementation:
    """The implementation for codebooks, or gradients, of this type on this device."""
    if tensor.dtype == torch.float64:
        return _load("reference")
    return _load(backend(tensor.device))


@cache
def _choose(device: str, asked: str) -> str:
    if asked and asked not in BACKENDS:
        raise ValueError(
            f"{VARIABLE} expects one of {', '.join(BACKENDS)}, got {asked!r}"
        )
    own = {"cpu": "native", "cuda": "triton"}.get(device, "reference")
    name = asked or own
    problem = _problem(name, device)
    if problem and asked:
        raise RuntimeError(f"{VARIABLE}={asked} cannot run on {device}: {problem}")
    if problem and own == "native":
        _LOGGER.warning(
            "kdgraph runs its operations over codes in plain torch, which is slower: "
            "%s",
            problem,
        )
    return "reference" if problem else name


def _problem(name: str, device: str) -> str:
    """Why an implementation cannot run on a device; empty if it can."""
    if name == "reference":
        return ""
    try:
        unavailable = _module(name).unavailable
    except ImportError as error:
        return f"{error}"
    return cast("str", unavailable(device))


@cache
def _load(name: str) -> Implementation:
    return cast("Implementation", _module(name))


def _module(name: str):  # type: ignore[no-untyped-def]
    return import_module(f"kdgraph.ops.{name}")
