"""The arrays of a graph on disk, mapped and not read."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdgraph.data.disk.layout import WEIGHT, Meta, fault, read_meta

_BLOCK = 1 << 24


@dataclass(frozen=True)
class DiskCSR:
    r"""The structure of a graph on disk: rows of targets, columns of sources.

    ``col[rowptr[v]:rowptr[v + 1]]`` are the sources of the edges into v, ascending and
    distinct. Both arrays are memory-mapped and read-only.

    Args:
        rowptr: Where each row begins.
        col: The sources, int32 below :math:`2^{31}` nodes.
        directed: Whether edges were kept one way.
        weight: Of each edge, or None where all weigh 1.

    Shapes:
        - **rowptr:** :math:`(N + 1)` int64
        - **col:** :math:`(E)` int32 or int64
        - **weight:** :math:`(E)` float32
    """

    rowptr: NDArray[np.int64]
    col: NDArray[np.int32] | NDArray[np.int64]
    directed: bool
    weight: NDArray[np.float32] | None = None

    @property
    def num_nodes(self) -> int:
        """Number of nodes, N."""
        return int(self.rowptr.size) - 1

    @property
    def num_edges(self) -> int:
        """Number of entries; an undirected edge counts twice."""
        return int(self.col.size)


def open_csr(folder: str | os.PathLike[str]) -> DiskCSR:
    """Map the structure of a graph on disk, with or without labels.

    Nothing is read but ``meta.json`` and the ends of ``rowptr``, so that a graph of any
    size opens at once.

    Args:
        folder: What :func:`prepare_graph` wrote.

    Returns:
        The structure.

    Raises:
        ValueError: In one sentence, if it is no graph on disk, of another version, or
            a part is missing or truncated.

    Example:
        >>> import tempfile
        >>> from kdgraph.data import prepare_graph
        >>> path = Path(tempfile.mkdtemp())
        >>> np.savez(path / "edges.npz", edge_index=[[0, 0, 1], [1, 1, 2]])
        >>> _ = prepare_graph(path / "edges.npz", path / "graph")
        >>> csr = open_csr(path / "graph")
        >>> csr.rowptr.tolist(), csr.col.tolist()
        ([0, 1, 3, 4], [1, 0, 2, 1])
    """
    path = Path(folder).expanduser()
    return map_csr(path, read_meta(path))


def verify_graph(folder: str | os.PathLike[str]) -> None:
    """Read every part of a graph on disk and compare it with its checksum.

    Args:
        folder: What :func:`prepare_graph` wrote.

    Raises:
        ValueError: In one sentence, if a part differs from what was written, and for
            every reason of :func:`open_csr`.
    """
    path = Path(folder).expanduser()
    meta = read_meta(path)
    for name, part in meta.parts.items():
        if checksum(map_part(path, meta, name)) != part.crc32:
            raise fault(path, f"{name}.npy does not match its checksum")


def map_csr(folder: Path, meta: Meta) -> DiskCSR:
    """Map ``rowptr`` and ``col``, and weights where there are any."""
    rowptr = map_part(folder, meta, "rowptr")
    if rowptr[0] != 0 or rowptr[-1] != meta.num_edges:
        raise fault(folder, "rowptr.npy is damaged")
    weight = map_part(folder, meta, WEIGHT) if WEIGHT in meta.parts else None
    return DiskCSR(rowptr, map_part(folder, meta, "col"), meta.directed, weight)


def map_part(
    folder: Path, meta: Meta, name: str, mode: Literal["r", "c"] = "r"
) -> NDArray[Any]:
    """Map one array: read-only, or ``"c"`` to keep what is written to oneself.

    Raises:
        ValueError: If the file is not the array that ``meta.json`` describes.
    """
    part = meta.parts[name]
    try:
        array: NDArray[Any] = np.load(
            folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False
        )
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise fault(folder, f"{name}.npy is damaged") from error
    if array.dtype.str != part.dtype or array.shape != part.shape:
        raise fault(
            folder,
            f"{name}.npy holds {array.dtype.str} {list(array.shape)}, expected "
            f"{part.dtype} {list(part.shape)}",
        )
    return array


def checksum(array: NDArray[Any]) -> int:
    """Return the CRC-32 of the values."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    found = 0
    for start in range(0, flat.size, _BLOCK):
        found = zlib.crc32(flat[start : start + _BLOCK].data, found)
    return found
