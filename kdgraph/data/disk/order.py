"""A graph on disk in the order of a partition: which one, and written once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdgraph.data._assemble import SPLITS
from kdgraph.data.disk.layout import Meta, fault, read_meta
from kdgraph.data.disk.reader import DiskCSR, map_csr, map_part
from kdgraph.data.disk.source import EdgeSource, SourceOrder
from kdgraph.data.stored_order import StoredOrder

if TYPE_CHECKING:
    from kdgraph.codes.hierarchy import Partition

BOUNDARIES, ORIGINAL_IDS = "boundaries", "original_ids"


def open_order(folder: str | os.PathLike[str]) -> StoredOrder | None:
    """The order in which a graph on disk is stored, where it was asked for.

    Args:
        folder: What :func:`prepare_graph` wrote.

    Returns:
        The order, its original ids mapped and not read; ``None`` without one.

    Raises:
        ValueError: In one sentence, if the folder is no graph on disk, or damaged.
    """
    path = Path(folder).expanduser()
    return map_order(path, read_meta(path))


def map_order(folder: Path, meta: Meta) -> StoredOrder | None:
    """The same, of a folder whose ``meta.json`` was read."""
    if meta.order is None:
        return None
    try:
        return StoredOrder(
            parse_order(meta.order),
            np.array(map_part(folder, meta, BOUNDARIES)),
            map_part(folder, meta, ORIGINAL_IDS),
        )
    except KeyError as error:
        raise fault(folder, f"{error.args[0]}.npy missing") from error


def parse_order(text: str) -> tuple[int, ...]:
    """Children per cluster from ``tree:16x16``.

    Raises:
        ValueError: Another text, or a number below 2.

    Example:
        >>> parse_order("tree:16x16")
        (16, 16)
    """
    match = re.fullmatch(r"tree:(\d{1,6}(?:x\d{1,6})*)", text.strip())
    numbers = tuple(map(int, match.group(1).split("x"))) if match else (0,)
    if min(numbers) < 2:
        raise ValueError(
            f"an order is that of a hierarchical partition, such as 'tree:16x16', got "
            f"{text!r}."
        )
    return numbers


@dataclass(frozen=True)
class OrderedGraph:
    """A graph on disk, read as the edges of the same in the order of a partition.

    Args:
        folder: The graph as it is.
        partition: Its clusters.
    """

    folder: Path
    partition: Partition

    def source(self) -> EdgeSource:
        """Edges, labels and split with the places of nodes for ids."""
        meta = read_meta(self.folder)
        order = self.partition.order
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        csr = map_csr(self.folder, meta)
        dtype = "<i4" if order.size < 1 << 31 else "<i8"
        text = "x".join(map(str, self.partition.branching))
        return EdgeSource(
            files=(self.folder / "col.npy",),
            blocks=lambda size, _: (
                (edges, done) for edges, _, done in _blocks(csr, place, size)
            ),
            num_nodes=meta.num_nodes,
            num_edges=meta.num_edges if meta.directed else meta.num_edges // 2,
            labels=lambda: self._labels(meta, place),
            notes=meta.notes,
            weights=None
            if csr.weight is None
            else lambda size, _: (
                (edges, weight) for edges, weight, _ in _blocks(csr, place, size)
            ),
            order=SourceOrder(
                f"tree:{text}",
                {
                    BOUNDARIES: self.partition.boundaries.astype("<i8"),
                    ORIGINAL_IDS: order.astype(dtype),
                },
            ),
        )

    def _labels(
        self, meta: Meta, place: NDArray[np.int64]
    ) -> Mapping[str, NDArray[Any]]:
        if "y" not in meta.parts:
            return {}
        y = map_part(self.folder, meta, "y")[self.partition.order]
        splits = {key: place[map_part(self.folder, meta, key)] for key in SPLITS}
        return {"y": y, **splits}


def _blocks(
    csr: DiskCSR, place: NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], float]]:
    """Entries as edges with weights, those of an undirected graph once."""
    rowptr, done = csr.rowptr, 0
    while done < csr.num_edges:
        stop = min(done + size, csr.num_edges)
        rows = np.searchsorted(rowptr, np.arange(done, stop), side="right") - 1
        edges = np.stack([np.asarray(csr.col[done:stop], dtype=np.int64), rows])
        weight = np.ones(stop - done, dtype=np.float32)
        if csr.weight is not None:
            weight = np.asarray(csr.weight[done:stop])
        if not csr.directed:
            once = edges[0] <= edges[1]
            edges, weight = edges[:, once], weight[once]
        done = stop
        yield np.ascontiguousarray(place[edges]), weight, done / csr.num_edges
