"""What a graph on disk consists of, and what its ``meta.json`` says of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kdgraph.atomic import replacing

META = "meta.json"
MAX_NODES = 1 << 32
"""An edge is sorted as one number of 64 bits, half of them for each end."""

_FORMAT = "kdgraph graph"
_VERSION = 1
_VERSION_WITH_WEIGHTS = 2
"""Of a graph that older readers would take without its weights."""
WEIGHT = "weight"
_REMEDY = "prepare the graph again"


@dataclass(frozen=True)
class Part:
    """One array: a file ``NAME.npy``.

    Args:
        dtype: In numpy's notation, such as ``<i4``.
        shape: Of the array.
        nbytes: Of the whole file.
        crc32: Of the values, behind the header.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    crc32: int


@dataclass(frozen=True)
class Meta:
    """What ``meta.json`` holds.

    Args:
        num_nodes: N.
        num_edges: Stored entries; an undirected edge counts twice.
        directed: Whether edges were kept one way.
        num_classes: Of the labels, or None where there are none.
        notes: What a reader of results should know, e.g. dropped features.
        source: Where it came from: path, bytes, edges read and repeated.
        parts: The arrays by name.
        order: The clusters in whose order nodes are stored, such as ``tree:16x16``, or
            None.
    """

    num_nodes: int
    num_edges: int
    directed: bool
    num_classes: int | None
    notes: tuple[str, ...]
    source: dict[str, Any]
    parts: dict[str, Part] = field(default_factory=dict)
    order: str | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays on disk."""
        return sum(part.nbytes for part in self.parts.values())

    def write(self, folder: Path) -> None:
        """Write ``meta.json``."""
        version = _VERSION_WITH_WEIGHTS if WEIGHT in self.parts else _VERSION
        text = json.dumps({"format": _FORMAT, "version": version} | asdict(self))
        with replacing(folder / META) as file:
            file.write(text.encode() + b"\n")


def read_meta(folder: Path) -> Meta:
    """Read ``meta.json`` and compare the size of every file with it.

    Raises:
        ValueError: If the folder holds no graph, one of another version, or a part of
            it is missing or damaged.
    """
    found = _read_json(folder)
    version = found.get("version")
    if version not in (_VERSION, _VERSION_WITH_WEIGHTS):
        raise fault(
            folder,
            f"the graph has format version {version}, but this kdgraph reads "
            f"{_VERSION} and {_VERSION_WITH_WEIGHTS}",
            "prepare it again with this kdgraph",
        )
    try:
        parts = {
            str(name): Part(**part | {"shape": tuple(part["shape"])})
            for name, part in found["parts"].items()
        }
        meta = Meta(
            num_nodes=int(found["num_nodes"]),
            num_edges=int(found["num_edges"]),
            directed=bool(found["directed"]),
            num_classes=found["num_classes"],
            notes=tuple(found["notes"]),
            source=dict(found["source"]),
            parts=parts,
            order=None if found.get("order") is None else str(found["order"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise fault(folder, f"{META} is damaged", _REMEDY) from error
    shapes = {"rowptr": (meta.num_nodes + 1,), "col": (meta.num_edges,)}
    if WEIGHT in parts:
        shapes[WEIGHT] = (meta.num_edges,)
    if any(name not in parts or parts[name].shape != shapes[name] for name in shapes):
        raise fault(folder, f"{META} is damaged", _REMEDY)
    for name, part in parts.items():
        _check_size(folder, name, part)
    return meta


def is_graph(folder: Path) -> bool:
    """Return whether a folder holds a graph on disk, of whatever version."""
    try:
        _read_json(folder)
    except ValueError:
        return False
    return True


def fault(where: Path, what: str, remedy: str = _REMEDY) -> ValueError:
    """Return the error that says what is wrong and what to do."""
    return ValueError(f"{where}: {what}; {remedy}.")


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / META
    if not path.is_file():
        raise fault(
            folder, f"{META} missing", "name a folder that 'kdgraph prepare' wrote"
        )
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise fault(folder, f"{META} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise fault(folder, f"{META} is damaged") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise fault(folder, f"{META} does not describe a graph on disk")
    return found


def _check_size(folder: Path, name: str, part: Part) -> None:
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise fault(folder, f"{path.name} missing")
    size = path.stat().st_size
    if size != part.nbytes:
        raise fault(
            folder,
            f"{path.name} is truncated or damaged ({size} bytes, expected "
            f"{part.nbytes})",
        )
