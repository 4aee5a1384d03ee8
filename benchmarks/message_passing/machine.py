"""The machine, and the ceilings that it sets, measured in a process of its own."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

_COPIED = 1 << 28
_SQUARE = 2048
_LINE_FLOATS = 16
_READS = 1 << 22
_BAG = 1024
_REPEATS = 5
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def describe(threads: int) -> dict[str, Any]:
    """What the machine is, and how busy."""
    return {
        "cores": available_cores(),
        "processor": _processor(),
        "caches": _caches(),
        "memory_bytes": _memory("MemTotal"),
        "huge_pages": _read(_HUGE_PAGES),
        "threads": threads,
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def available_cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes() -> int | None:
    """Memory that can be had without swapping; ``None`` where nobody says."""
    return _memory("MemAvailable")


def ceilings(spreads: list[int]) -> dict[str, Any]:
    """Bandwidth, random reads and arithmetic, the best of five each.

    Args:
        spreads: Sizes in bytes of the arrays that are read at random.

    Returns:
        ``copy_bytes_per_second``, of a 256 MiB array, reads and writes counted;
        ``random_lines_per_second`` of 64 bytes, by size of the array, summed by
        ``embedding_bag`` so that nearly nothing is written; and
        ``multiply_adds_per_second`` of a float32 matrix product.
    """
    source = torch.zeros(_COPIED // 4)
    target = torch.zeros_like(source)
    copied = _best(lambda: target.copy_(source))
    square = torch.randn(_SQUARE, _SQUARE)
    product = torch.empty_like(square)
    multiplied = _best(lambda: torch.mm(square, square, out=product))
    return {
        "copy_bytes_per_second": 2 * _COPIED / copied,
        "multiply_adds_per_second": _SQUARE**3 / multiplied,
        "random_lines_per_second": {
            str(spread): _random_rate(spread) for spread in spreads
        },
    }


def _random_rate(spread: int) -> float:
    lines = max(spread // (4 * _LINE_FLOATS), 1)
    table = torch.zeros(lines, _LINE_FLOATS)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(lines, (_READS,), generator=generator, dtype=torch.int32)
    offsets = torch.arange(0, _READS, _BAG, dtype=torch.int32)
    return _READS / _best(
        lambda: functional.embedding_bag(ids, table, offsets, mode="sum")
    )


def _best(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _processor() -> str:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Size of each cache of the first core, as the kernel writes it."""
    found = {}
    for index in sorted(_CACHES.glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if level and kind and size:
            found[f"L{level} {kind.lower()}"] = size
    return found


def _memory(name: str) -> int | None:
    for line in (_read(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


if __name__ == "__main__":
    print(json.dumps(ceilings([int(spread) for spread in sys.argv[1:]])))
