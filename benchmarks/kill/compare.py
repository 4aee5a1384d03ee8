"""Whether two folders hold the same, but for what clocks and the system say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

MEASURED = ("peak_rss_bytes", "seconds_per_epoch", "seconds", "coding_seconds")
PARTIAL = (".tmp", ".partial", ".old", ".checkpoint.pt")
"""How the names of what is not finished end."""


def differences(whole: Path, resumed: Path) -> list[str]:
    """What is there once, is left over, or differs; a line for each.

    Results are compared as JSON without measured values, codes read off a graph, which
    hold the seconds that took, by their arrays, and everything else byte for byte.
    """
    names, found = entries(whole), entries(resumed)
    told = [f"{name} is missing" for name in sorted(names - found)]
    told += [f"{name} is left over" for name in sorted(found - names)]
    told += [f"{name} is not finished" for name in sorted(found) if is_partial(name)]
    for name in sorted(names & found):
        one, other = whole / name, resumed / name
        if one.is_file() and not _same(one, other):
            told.append(f"{name} differs")
    return told


def entries(folder: Path) -> set[str]:
    """Files and folders below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def is_partial(name: str) -> bool:
    """Whether something is by its name what a killed process leaves."""
    return name.endswith(PARTIAL)


def without_measurements(value: Any) -> Any:
    """A result without what the clock and the system say."""
    if isinstance(value, dict):
        return {
            key: without_measurements(one)
            for key, one in value.items()
            if key not in MEASURED
        }
    return value


def _same(one: Path, other: Path) -> bool:
    if one.name.endswith(".json"):
        first, second = (json.loads(path.read_text()) for path in (one, other))
        return bool(without_measurements(first) == without_measurements(second))
    if one.name.endswith(".codes.safetensors"):
        left, right = load_file(one), load_file(other)
        return left.keys() == right.keys() and all(
            np.array_equal(left[name], right[name]) for name in left
        )
    return one.read_bytes() == other.read_bytes()
