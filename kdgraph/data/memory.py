"""How much memory there is, and how much building a graph takes."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

from kdgraph.data.cgroups import memory_groups

ASSUMED = 4 << 30
"""Bytes that a machine is taken to have whose system does not tell."""


def build_bytes(num_nodes: int, num_edges: int) -> int:
    """Return about how many bytes the peak of building a graph takes.

    Counted for an edge list of int64 that is symmetrised: the list itself, the
    matrix, its transpose and their union. Above 2**30 edges the union needs int64
    columns.
    """
    per_edge = 40 if num_edges < 1 << 30 else 60
    return per_edge * num_edges + 40 * num_nodes


def available_bytes() -> int | None:
    """Return the memory that can still be taken, or ``None`` where nobody tells.

    The least of what the machine has left and of what each control group around this
    process, such as a container, still allows.
    """
    found = [max(0, limit - used) for limit, used in memory_groups()]
    left = _meminfo()
    if left is None:
        left = _pages("SC_AVPHYS_PAGES")
    if left is None:
        left = memory_limit()
    return min(found if left is None else [*found, left], default=None)


def memory_limit() -> int | None:
    """Return the memory that the machine, or its container, has, or ``None``."""
    found = [group.limit for group in memory_groups()]
    physical = _windows() if sys.platform == "win32" else _pages("SC_PHYS_PAGES")
    return min(found if physical is None else [*found, physical], default=None)


def require_memory(needed: int, where: object) -> None:
    """Refuse, in one sentence, what would not fit; warn where nobody can tell.

    Raises:
        ValueError: If fewer than ``needed`` bytes are available.
    """
    available = available_bytes()
    takes = f"{where}: reading this graph takes about {needed / 1e9:.1f} GB of memory"
    if available is None:
        if needed > ASSUMED:
            warnings.warn(
                f"{takes}, and this system does not tell how much there is",
                stacklevel=2,
            )
    elif needed > available:
        raise ValueError(
            f"{takes} but {available / 1e9:.1f} GB are available; use a machine with "
            "more memory or a smaller graph."
        )


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _pages(name: str) -> int | None:
    """Bytes of a count of pages that POSIX has."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        pages = os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
        return pages if pages > 0 else None
    return None


def _windows() -> int | None:
    """Bytes of memory that Windows says are installed for it."""
    import ctypes

    kilobytes = ctypes.c_ulonglong()
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only Windows has it
    if not kernel.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
        return None
    return kilobytes.value * 1024
