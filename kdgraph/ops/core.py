"""The compiled core: where it is, what it is called with, and edges as it takes them.

The core (``csrc/``) knows neither torch nor Python, so one build serves every version
of both, and its file bears the name of neither.
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from kdgraph.ops.edges import Edges

INSTRUCTION_SETS = ("avx512", "avx2", "neon", "portable")
VARIABLE = "KDGRAPH_ISA"

ABI = 5
"""What the core must be called with, a number that ``csrc/core.cpp`` has too: one more
whenever a function that it exports, or a struct that these take, changes."""

PATH = Path(__file__).with_name("_core.so")
"""Where the core lies once it is built."""

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
    """The compiled core, its instruction set chosen.

    Raises:
        ImportError: It was not built, or for another kdgraph or another machine.
        ValueError: ``KDGRAPH_ISA`` asks for an instruction set that is unknown or not
            to be had here.
    """
    core = _open(PATH)
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    core.kdgraph_choose.argtypes = [ctypes.c_char_p]
    core.kdgraph_chosen.restype = ctypes.c_char_p
    core.kdgraph_spmm.argtypes = [pointer] * 4
    core.kdgraph_grad_codebooks.argtypes = [pointer] * 5
    core.kdgraph_linear.argtypes = [*[pointer] * 3, size, *[pointer] * 2]
    core.kdgraph_grad_linear.argtypes = [*[pointer] * 3, size, *[pointer] * 4]
    core.kdgraph_grad_weight.argtypes = [pointer] * 5
    core.kdgraph_neighbor_sum.argtypes = [*[pointer] * 2, *[size] * 2, *[pointer] * 2]
    core.kdgraph_nearest.argtypes = [pointer, ctypes.c_int32, pointer, pointer]
    core.kdgraph_soft_gradient.argtypes = [
        *(pointer, pointer, ctypes.c_int32, pointer, pointer, pointer)
    ]
    core.kdgraph_distinct.argtypes = [pointer, size, pointer, pointer, pointer]
    core.kdgraph_add_repeats.argtypes = [
        *(pointer, pointer, size, size, pointer, ctypes.c_int32, pointer)
    ]
    core.kdgraph_lookup.argtypes = [
        *(pointer, pointer, size, size, pointer, size, size, ctypes.c_int32),
        *(pointer, pointer),
    ]
    core.kdgraph_lookup_gradient.argtypes = [
        *(pointer, size, size, pointer, pointer, size, ctypes.c_int32, size),
        *(ctypes.c_int32, pointer, pointer),
    ]
    core.kdgraph_unpack.argtypes = [
        *(pointer, size, size, pointer, size, pointer, size, ctypes.c_int32),
        *(pointer, pointer),
    ]
    core.kdgraph_round_int8.restype = None
    core.kdgraph_round_int8.argtypes = [pointer, pointer, size, size, pointer]
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
    asked = os.environ.get(VARIABLE, "")
    if not core.kdgraph_choose(asked.encode()):
        raise ValueError(
            f"{VARIABLE} expects one of {', '.join(INSTRUCTION_SETS)} that this "
            f"processor has, got {asked!r}"
        )
    return core


def _open(path: Path) -> ctypes.CDLL:
    """The library at a path, if it is the core of this kdgraph.

    Raises:
        ImportError: It is not.
    """
    if not path.exists():
        raise ImportError(f"the compiled core is not at {path}; {_how_to_build()}")
    try:
        core = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(
            f"the compiled core at {path} cannot be loaded here ({error}); "
            f"{_how_to_build()}"
        ) from error
    found = core.kdgraph_abi() if hasattr(core, "kdgraph_abi") else 0
    if found != ABI:
        raise ImportError(
            f"the compiled core at {path} was built for another version of kdgraph "
            f"(its ABI number is {found}, expected {ABI}); {_how_to_build()}"
        )
    return core


def _how_to_build() -> str:
    """What to do for a core that fits, as the end of a sentence."""
    checkout = Path(__file__).parents[2]
    if sys.platform == "win32":
        return "it is built by GCC or Clang, which on Windows means in WSL"
    if (checkout / "csrc" / "core.cpp").exists():
        return (
            f"to build it run `{sys.executable} setup.py build_ext --inplace` in "
            f"{checkout}, with GCC or Clang, or run outside of that folder to use a "
            "kdgraph that is installed"
        )
    return "reinstall kdgraph from its source, with GCC or Clang, to build it"


def instruction_set() -> str:
    """What the inner loops were compiled for: the best of what the processor has.

    ``KDGRAPH_ISA`` asks for one of ``avx512``, ``avx2``, ``neon`` and ``portable``.

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
