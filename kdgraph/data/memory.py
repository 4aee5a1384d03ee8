"""How much memory there is, and how much building a graph takes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def build_bytes(num_nodes: int, num_edges: int) -> int:
    """Return about how many bytes the peak of building a graph takes.

    Counted for an edge list of int64 that is symmetrised: the list itself, the
    matrix, its transpose and their union. Above 2**30 edges the union needs int64
    columns.
    """
    per_edge = 40 if num_edges < 1 << 30 else 60
    return per_edge * num_edges + 40 * num_nodes


def available_bytes() -> int | None:
    """Return the memory that can still be taken, or None where nobody says."""
    found = [n for n in (_meminfo(), _cgroup()) if n is not None]
    if found:
        return min(found)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def memory_limit() -> int | None:
    """Return the memory that the machine, or its container, has, or None."""
    found = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        pages, size = (os.sysconf(f"SC_{name}") for name in ("PHYS_PAGES", "PAGE_SIZE"))
        found.append(pages * size)
    with contextlib.suppress(OSError, ValueError):
        found.append(int((_CGROUP / "memory.max").read_text()))
    return min(found, default=None)


def require_memory(needed: int, where: object) -> None:
    """Refuse, in one sentence, what would not fit.

    Raises:
        ValueError: If fewer than ``needed`` bytes are available.
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise ValueError(
            f"{where}: reading this graph takes about {needed / 1e9:.1f} GB of memory "
            f"but {available / 1e9:.1f} GB are available; use a machine with more "
            "memory or a smaller graph."
        )


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _cgroup() -> int | None:
    # A container is stopped at its own limit however much the machine has left.
    # Pages of files count as used there, yet they are given back under pressure.
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = (_CGROUP / "memory.stat").read_text().split()
        cached = int(stat[stat.index("inactive_file") + 1])
    except (OSError, ValueError, IndexError):
        return None
    return max(limit - used + cached, 0)
