"""The compiled core: where it is, what it is called with, and edges as it takes them.

The core (``csrc/``) knows neither torch nor Python, so one build serves every version
of both.
"""

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

from kdgraph.ops.edges import Edges

INSTRUCTION_SETS = ("avx512", "avx2", "portable")
VARIABLE = "KDGRAPH_ISA"

BAD_ROWPTR, BAD_SOURCE, BAD_CODE, TWICE = 1, 2, 3, 5
"""What the core's functions return where something is out of range, or stands twice
where it may not; 0 is fine."""


class CoreEdges(ctypes.Structure):
    """``Edges`` of ``csrc/edges.h``."""

    _fields_ = (
        ("rowptr64", ctypes.c_void_p),
        ("rowptr32", ctypes.c_void_p),
        ("col64", ctypes.c_void_p),
        ("col32", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("targets", ctypes.c_int64),
        ("edges", ctypes.c_int64),
        ("mean", ctypes.c_int32),
        ("check", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


@cache
def load_core() -> ctypes.CDLL:
    """The compiled core, its instruction set chosen."""
    folder = Path(__file__).parent
    found = [folder / f"_core{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in found if path.exists()), None)
    if path is None:
        raise ImportError(
            "the compiled core is not there; install kdgraph where there is a C++ "
            "compiler"
        )
    core = ctypes.CDLL(str(path))
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    core.kdgraph_choose.argtypes = [ctypes.c_char_p]
    core.kdgraph_chosen.restype = ctypes.c_char_p
    core.kdgraph_spmm.argtypes = [pointer] * 4
    core.kdgraph_grad_codebooks.argtypes = [pointer] * 5
    core.kdgraph_linear.argtypes = [*[pointer] * 3, size, *[pointer] * 2]
    core.kdgraph_grad_linear.argtypes = [*[pointer] * 3, size, *[pointer] * 4]
    core.kdgraph_grad_weight.argtypes = [pointer] * 5
    core.kdgraph_neighbor_sum.argtypes = [*[pointer] * 2, *[size] * 2, *[pointer] * 2]
    core.kdgraph_sample.restype = pointer
    core.kdgraph_sample.argtypes = [
        *(pointer, pointer, size, pointer, size),
        *(ctypes.c_int32, ctypes.c_uint64, pointer, pointer),
    ]
    core.kdgraph_sample_sizes.argtypes = [pointer] * 3
    core.kdgraph_sample_take.argtypes = [pointer] * 5
    core.kdgraph_sample_free.argtypes = [pointer]
    core.kdgraph_subgraph.restype = pointer
    core.kdgraph_subgraph.argtypes = [pointer, pointer, size, pointer, pointer]
    core.kdgraph_subgraph_edges.restype = size
    core.kdgraph_subgraph_edges.argtypes = [pointer]
    core.kdgraph_subgraph_take.argtypes = [pointer] * 4
    core.kdgraph_subgraph_free.argtypes = [pointer]
    core.kdgraph_keep_signal.restype = pointer
    core.kdgraph_keep_signal.argtypes = [ctypes.c_int32]
    core.kdgraph_release_signal.argtypes = [pointer]
    asked = os.environ.get(VARIABLE, "")
    if not core.kdgraph_choose(asked.encode()):
        raise ValueError(
            f"{VARIABLE} expects one of {', '.join(INSTRUCTION_SETS)} that this "
            f"processor has, got {asked!r}"
        )
    return core


def instruction_set() -> str:
    """What the inner loops were compiled for: the best of what the processor has.

    ``KDGRAPH_ISA`` asks for one of ``avx512``, ``avx2`` and ``portable``.

    Raises:
        ImportError: The core was not built.
        ValueError: ``KDGRAPH_ISA`` asks for one that is unknown or not to be had here.
    """
    chosen: bytes = load_core().kdgraph_chosen()
    return chosen.decode()


def core_edges(
    edges: Edges, targets: int, nodes: int, *, check: bool
) -> tuple[CoreEdges, list[Tensor]]:
    """Edges as the core takes them, and the tensors it then reads."""
    keep = [t for t in (edges.rowptr, edges.col) if t is not None]
    pointers: dict[str, int] = {}
    for name in ("rowptr", "col"):
        index = getattr(edges, name)
        if index is not None:
            wide = "64" if index.dtype == torch.int64 else "32"
            pointers[name + wide] = index.data_ptr()
    if edges.weight is not None:
        weight = floats(edges.weight)
        keep.append(weight)
        pointers["weight"] = weight.data_ptr()
    given = CoreEdges(
        **pointers,
        targets=targets,
        edges=edges.count(nodes),
        mean=edges.mean,
        check=check,
        threads=torch.get_num_threads(),
    )
    return given, keep


def floats(tensor: Tensor) -> Tensor:
    """Numbers as the core reads them: float32, in one piece, without gradient."""
    return tensor.detach().to(torch.float32).contiguous()
