"""What a rival moves and adds, and how near to the machine's ceilings it comes."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.message_passing.setting import Setting

LARGEST_SPREAD = 1 << 30
"""Bytes of the largest array that the rate of random reads is measured on."""


@dataclass(frozen=True)
class Work:
    """A lower bound of what one run takes.

    Args:
        moved: Bytes that go through memory, by name. Codebooks, which stay in caches,
            are not counted; what is written is counted once.
        adds: Multiplications with an addition.
        rows: Rows that are read at random; each counts as one read of a cache line,
            whatever its width, since the lines behind the first are fetched ahead.
        spread: Bytes of the array that these rows lie in.
    """

    moved: dict[str, int] = field(default_factory=dict)
    adds: int = 0
    rows: int = 0
    spread: int = 0

    @property
    def bytes(self) -> int:
        """All that is moved."""
        return sum(self.moved.values())

    def plus(self, *, adds: int = 0, **moved: int) -> "Work":
        """More bytes, and more additions."""
        merged = self.moved | {
            name.replace("_", " "): count for name, count in moved.items()
        }
        return Work(merged, self.adds + adds, self.rows, self.spread)


def aggregation(setting: Setting, row: int, *, edge: int = 8) -> Work:
    """Sums over neighbours: ``4 (N + 1) + E (edge + row) + 4 N C`` bytes.

    Args:
        setting: Sizes.
        row: Bytes that are read of each source.
        edge: Bytes of an edge, an int32 column and a float32 weight. (default: ``8``)
    """
    nodes, edges, channels = setting.num_nodes, setting.num_edges, setting.channels
    return Work(
        {
            "pointers": 4 * (nodes + 1),
            "edges": edges * edge,
            "rows": edges * row,
            "output": 4 * nodes * channels,
        },
        adds=edges * channels,
        rows=edges,
        spread=nodes * row,
    )


def gather(setting: Setting, row: int) -> Work:
    """Rows by id: ``B (8 + row + 4 C)`` bytes."""
    count = setting.gathered
    return Work(
        {"ids": 8 * count, "rows": row * count, "output": 4 * count * setting.channels},
        rows=count,
        spread=setting.num_nodes * row,
    )


class Roof(NamedTuple):
    """The ceiling that binds.

    Args:
        binding: ``"bandwidth"``, ``"random reads"`` or ``"arithmetic"``.
        seconds: What the work would take at that ceiling.
    """

    binding: str
    seconds: float


def roof(work: Work, machine: dict[str, Any]) -> Roof | None:
    """The least time that a machine would need; ``None`` without work."""
    if not work.moved:
        return None
    bounds = {
        "bandwidth": work.bytes / machine["copy_bytes_per_second"],
        "arithmetic": work.adds / machine["multiply_adds_per_second"],
    }
    if work.rows:
        rate = machine["random_lines_per_second"][str(spread_class(work.spread))]
        bounds["random reads"] = work.rows / rate
    binding = max(bounds, key=lambda name: bounds[name])
    return Roof(binding, bounds[binding])


def spread_class(spread: int) -> int:
    """The power of two at which random reads are measured for an array this large."""
    return min(1 << max(spread - 1, 1 << 12).bit_length(), LARGEST_SPREAD)
