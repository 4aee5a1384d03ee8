from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdgraph.data import build_adjacency, cgroups
from kdgraph.data import memory as _memory
from kdgraph.data.cgroups import memory_groups


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


Write = Callable[..., None]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Control groups: where this process is, what is mounted, and files in folders."""
    monkeypatch.setattr(cgroups, "_PROCESS", tmp_path)

    def write(cgroup: str, mounts: str, **folders: dict[str, object]) -> None:
        (tmp_path / "cgroup").write_text(cgroup)
        (tmp_path / "mountinfo").write_text(mounts.replace("ROOT", str(tmp_path)))
        for name, files in folders.items():
            folder = tmp_path / name.replace("__", "/")
            folder.mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                (folder / file.replace("__", ".")).write_text(f"{content}\n")

    return write


MOUNT_2 = "30 1 0:25 / ROOT/v2 rw - cgroup2 cgroup2 rw\n"
MOUNT_1 = "30 1 0:25 {} ROOT/v1 rw - cgroup cgroup rw,memory\n"


def two(limit: object, used: int, inactive: int = 0) -> dict[str, object]:
    stat = f"anon 500\ninactive_file {inactive}"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


def one(limit: int, used: int, inactive: int = 0) -> dict[str, object]:
    return {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": used,
        "memory.stat": f"inactive_file 1\ntotal_inactive_file {inactive}",
    }


def test_the_limit_of_a_container_counts(groups: Write) -> None:
    groups("0::/\n", MOUNT_2, v2=two(1000, 900, 50))
    assert _memory.available_bytes() == 150
    assert _memory.memory_limit() == 1000
    with pytest.raises(ValueError, match="toy: reading this graph takes about"):
        _memory.require_memory(151, "toy")
    groups("0::/\n", MOUNT_2, v2=two("max", 900, 50))
    assert (_memory.available_bytes() or 151) > 150
    assert (_memory.memory_limit() or 1001) > 1000


@pytest.mark.parametrize(
    ("outer", "inner", "left", "limit"),
    [
        (two(1000, 900), two(500, 300), 100, 500),
        (two(1000, 300), two(500, 450), 50, 500),
        (two("max", 900), two(500, 450), 50, 500),
        (two(1000, 900, 10), two("max", 10), 110, 1000),
    ],
)
def test_the_least_of_nested_groups_counts(
    groups: Write,
    outer: dict[str, object],
    inner: dict[str, object],
    left: int,
    limit: int,
) -> None:
    groups("0::/a/b\n", MOUNT_2, v2__a=outer, v2__a__b=inner)
    assert _memory.available_bytes() == left
    assert _memory.memory_limit() == limit


@pytest.mark.parametrize("root", ["/", "/docker/abc"])
def test_the_first_version_is_read(groups: Write, root: str) -> None:
    # Without a namespace a container sees the path of the machine, and its own folder.
    folder = "v1__docker__abc" if root == "/" else "v1"
    lists = "4:cpu,memory:/docker/abc\n1:cpu:/x\n0::/\n"
    groups(lists, MOUNT_1.format(root), **{folder: one(1000, 900, 50)})
    assert _memory.available_bytes() == 150
    assert _memory.memory_limit() == 1000
    # A number near 2**63, to the page, is none.
    groups(lists, MOUNT_1.format(root), **{folder: one(0x7FFFFFFFFFFFF000, 900)})
    assert memory_groups() == []


def test_both_versions_side_by_side(groups: Write) -> None:
    groups(
        "4:memory:/a\n0::/b\n",
        MOUNT_2 + MOUNT_1.format("/"),
        v1__a=one(2000, 1500),
        v2__b=two(1000, 100),
    )
    assert _memory.available_bytes() == 500
    assert _memory.memory_limit() == 1000


@pytest.mark.parametrize("path", ["/gone", "/../outside"])
def test_a_group_that_is_not_there_is_the_one_that_is_mounted(
    groups: Write, path: str
) -> None:
    groups(f"0::{path}\n", MOUNT_2, v2=two(1000, 900), outside=two(10, 10))
    assert memory_groups() == [(1000, 900)]


def test_files_that_say_nothing_are_no_limit(groups: Write, tmp_path: Path) -> None:
    groups("0::/\nodd\n", "odd\n" + MOUNT_2, v2={"memory.max": "many"})
    assert memory_groups() == []
    (tmp_path / "cgroup").unlink()
    assert memory_groups() == []


def test_unknown_memory_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available_bytes", lambda: None)
    with pytest.warns(UserWarning, match=r"about 5\.0 GB of memory, and this system"):
        _memory.require_memory(5 * 10**9, "toy")
    _memory.require_memory(10**9, "toy")  # any machine has that
