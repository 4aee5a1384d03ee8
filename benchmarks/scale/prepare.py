"""From the file of edges to a graph on disk."""

import time
from pathlib import Path
from typing import Any

from benchmarks.clock import Clock
from benchmarks.scale.generate import generate
from benchmarks.scale.setting import Setting
from kdgraph.data import prepare_graph


def draw(setting: Setting, folder: Path, clock: Clock) -> dict[str, Any]:
    """Write the input, which is no part of what is measured."""
    path = folder / "edges.npz"
    partial = path.with_suffix(".partial")
    sizes = setting.num_nodes, setting.num_edges
    generate(partial, *sizes, setting.seed, clock)
    partial.replace(path)
    return {"file_bytes": path.stat().st_size}


def prepare(_setting: Setting, folder: Path, clock: Clock) -> dict[str, Any]:
    """What ``kdgraph prepare`` does, with the memory it takes by default."""
    path = folder / "edges.npz"
    begun = time.perf_counter()
    done = prepare_graph(path, folder / "graph", force=True, progress=clock)
    return {
        "seconds": time.perf_counter() - begun,
        "stages": clock.seconds,
        "input_bytes": path.stat().st_size,
        "disk_bytes": done.meta.nbytes,
        "edges_read": done.edges_read,
        "repeated": done.repeated,
        "entries": done.meta.num_edges,
    }
