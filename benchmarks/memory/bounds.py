"""Between what bytes a measured peak lies, by what was counted."""

from __future__ import annotations

from typing import Any

SLACK = 24 << 20
"""Bytes of a batch: vectors and their gradient, what it takes to read them, and what
the allocator keeps."""
SHORT = 1 << 20
"""Bytes by which a peak may fall short: of pages that were there already."""

TEXT = f"""Peaks of *keep* lie between the bytes kept and {SLACK >> 20} MiB more, and
peaks of *batch* between the bytes held and {SLACK >> 20} MiB more. To those, dense Adam
adds two arrays as large as the largest parameter that has a dense gradient, temporary
in its step. That is why a table with Adam takes six times its bytes and not four, and
with `SparseAdam` three. A step of all nodes has their vectors beside, several times
over, which no choice of an encoder spares; it is held to the lower bound alone.
"""


def keep_bounds(told: dict[str, Any]) -> tuple[int, int]:
    """Of the vectors of a batch, from what is kept."""
    return told["counted_bytes"] - SHORT, told["counted_bytes"] + SLACK


def step_bounds(told: dict[str, Any]) -> tuple[int, int]:
    """Of a step of a batch, from what is held."""
    held = counted(told)
    # Adam's update and its denominator, of one parameter at a time.
    own = 2 * min(told["largest_bytes"], told["gradient_bytes"])
    return held - SHORT, held + told["sparse_gradient_bytes"] + own + SLACK


def counted(told: dict[str, Any]) -> int:
    """Bytes held after a step, gradients of the rows of a batch left out."""
    names = ("weight_bytes", "gradient_bytes", "state_bytes")
    return sum(int(told[name]) for name in names)


def peak(told: dict[str, Any]) -> int:
    """The peak above the base."""
    return int(told["peak_rss_bytes"]) - int(told["base_bytes"])
