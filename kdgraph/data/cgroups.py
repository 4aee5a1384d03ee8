"""The limits of memory that Linux's control groups set for this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_PROCESS = Path("/proc/self")
_UNLIMITED = 1 << 60
"""No machine has that much; version 1 writes a number above it for "none"."""


class MemoryGroup(NamedTuple):
    """What one control group says.

    Attributes:
        limit: Bytes at which its processes are stopped.
        used: Bytes that they use now, of which pages of files are given back.
    """

    limit: int
    used: int


def memory_groups(process: Path | None = None) -> list[MemoryGroup]:
    """Every group with a limit that this process is in, the innermost first.

    A limit holds for all groups within a group, so those around count too. Both
    versions of control groups are read, wherever they are mounted.

    Args:
        process: Folder of the process. (default: ``/proc/self``)
    """
    process = _PROCESS if process is None else process
    try:
        memberships = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    own: dict[str, str] = {}
    for line in memberships:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            own["cgroup2"] = path
        elif "memory" in controllers.split(","):
            own["cgroup"] = path
    found = []
    for kind, root, point in _mounts(mounts):
        if kind in own:
            for folder in _folders(own[kind], root, point):
                group = _read(folder)
                if group is not None:
                    found.append(group)
    return found


def _mounts(lines: list[str]) -> Iterator[tuple[str, str, Path]]:
    """Kind, root and place of what has control groups of memory in it."""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        options = options.rpartition(" ")[2]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            root, point = fields.split(" ")[3:5]
            yield kind, root, Path(point.replace("\\040", " "))


def _folders(own: str, root: str, point: Path) -> Iterator[Path]:
    """The folder of a group and those around it, up to where they are mounted."""
    path = PurePosixPath(own)
    # In a container that sees its own group only, paths may be those of the machine.
    inside = PurePosixPath()
    if path.is_relative_to(root) and ".." not in path.parts:
        inside = path.relative_to(root)
    yield point / inside
    yield from (point / parent for parent in inside.parents if inside.parts)


def _read(folder: Path) -> MemoryGroup | None:
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = int((folder / limit).read_text())
            taken = int((folder / used).read_text())
        except (OSError, ValueError):  # "max", among others
            continue
        if most < _UNLIMITED:
            return MemoryGroup(most, max(0, taken - _inactive(folder, cached)))
    return None


def _inactive(folder: Path, name: str) -> int:
    """Bytes of pages of files, which are given back under pressure."""
    try:
        words = (folder / "memory.stat").read_text().split()
        return int(words[words.index(name) + 1])
    except (OSError, ValueError, IndexError):
        return 0
