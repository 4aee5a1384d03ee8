from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from kdgraph.data import build_adjacency
from kdgraph.data import memory as _memory


def test_estimate_bounds_what_building_takes() -> None:
    num_nodes, num_edges = 20_000, 300_000
    rng = np.random.default_rng(0)
    tracemalloc.start()
    edge_index = rng.integers(0, num_nodes, (2, num_edges))
    build_adjacency(edge_index, num_nodes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    estimate = _memory.build_bytes(num_nodes, num_edges)
    assert 0.5 * estimate < peak < estimate


def test_available_is_positive() -> None:
    available = _memory.available_bytes()
    assert available is None or available > 0


def test_a_container_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 50\n")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    assert _memory.available_bytes() == 150
    with pytest.raises(ValueError, match="toy: reading this graph takes about"):
        _memory.require_memory(151, "toy")
    (tmp_path / "memory.max").write_text("max\n")
    available = _memory.available_bytes()
    assert available is None or available > 150


def test_unknown_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available_bytes", lambda: None)
    _memory.require_memory(10**18, "toy")
