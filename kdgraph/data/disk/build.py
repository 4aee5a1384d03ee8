"""Build: from an edge source to the files of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdgraph.data._assemble import SPLITS, check_labels, check_splits
from kdgraph.data.disk.buckets import Bucket, Keys, scatter, sorted_runs
from kdgraph.data.disk.layout import MAX_NODES, WEIGHT, Meta, Part
from kdgraph.data.disk.rows import RowWriter
from kdgraph.data.disk.source import EdgeSource
from kdgraph.data.disk.staging import Staging
from kdgraph.data.disk.writer import NpyWriter, save_part
from kdgraph.data.edge_weights import WeightedEdges, combined_weights, sum_weights

Progress = Callable[[float, str], None]
"""Called with the fraction done of a stage, from 0 to 1, and its name."""

_MOST_BUCKETS = 256
_UNKNOWN_BUCKETS = 64  # where the number of edges is not announced


@dataclass(frozen=True)
class Prepared:
    """What a graph on disk was made of, and what it takes.

    Args:
        meta: Nodes, edges, parts.
        edges_read: Edges of the input.
        repeated: Edges dropped since they were there already; unless directed, an
            edge against one that was there is dropped too.
        self_loops: Edges kept from a node to itself.
    """

    meta: Meta
    edges_read: int
    repeated: int
    self_loops: int


class Build:
    """The stages of a build: labels, number of nodes, buckets, rows.

    Args:
        staging: Where it is built, and how far it was before.
        source: The edges.
        directed: Keep edges one way.
        memory: Bytes that edges may take at once.
        progress: Told how far it is.
    """

    def __init__(
        self,
        staging: Staging,
        source: EdgeSource,
        *,
        directed: bool,
        memory: int,
        progress: Progress | None,
    ) -> None:
        self._staging, self._source, self._directed = staging, source, directed
        self._progress = progress or _ignore
        # A block takes some 90 bytes an edge on its way, the one before it included.
        self._block = min(memory // 112, 1 << 22)
        self._step = min(memory // 64, 1 << 20)
        self._limit = memory // 16

    def run(self, facts: dict[str, Any]) -> Prepared:
        """Build, publish, and tell what was done."""
        parts, num_classes = self._labels()
        state = self._staging.state
        if "buckets" not in state:
            state = self._partition()
            self._staging.save(state)
        written, loops = self._sort(state)
        num_edges = written["col"].shape[0]
        if self._source.weights is not None:
            written |= {WEIGHT: self._weigh(state["num_nodes"], num_edges)}
        kept = num_edges if self._directed else (num_edges + loops) // 2
        read = state["edges_read"]
        found = {"edges": read, "repeated": read - kept, "self_loops": loops}
        order = self._source.order
        meta = Meta(
            num_nodes=state["num_nodes"],
            num_edges=num_edges,
            directed=self._directed,
            num_classes=num_classes,
            notes=self._source.notes,
            source=found | facts,
            parts=written | parts | self._order(),
            order=None if order is None else order.recipe,
        )
        self._staging.publish(meta)
        return Prepared(meta, read, read - kept, loops)

    def _labels(self) -> tuple[dict[str, Part], int | None]:
        """First, since it is better to fail early."""
        found = self._source.labels()
        if not found or self._source.num_nodes is None:
            return {}, None
        where = self._source.files[0]
        y, num_classes = check_labels(found["y"], self._source.num_nodes, where)
        splits = {key: found[key] for key in SPLITS}
        check_splits(splits, self._source.num_nodes, y, where)
        arrays = {key: splits[key].astype("<i8") for key in SPLITS} | {"y": y.numpy()}
        folder = self._staging.path
        parts = {
            key: save_part(folder / f"{key}.npy", array)
            for key, array in arrays.items()
        }
        return parts, num_classes

    def _order(self) -> dict[str, Part]:
        """The order that nodes were put into, where they were."""
        order, folder = self._source.order, self._staging.path
        arrays = {} if order is None else order.arrays
        return {
            name: save_part(folder / f"{name}.npy", array)
            for name, array in arrays.items()
        }

    def _partition(self) -> dict[str, Any]:
        """Distribute the edges over files by target."""
        num_nodes = self._source.num_nodes or self._count_nodes()
        bits = (num_nodes - 1).bit_length()
        read = 0

        def keys() -> Iterator[Keys]:
            nonlocal read
            for edges, done in self._source.blocks(self._block, num_nodes):
                read += edges.shape[1]
                yield _keys(edges, bits, both_ways=not self._directed)
                self._progress(done, "reading edges")

        announced, number = self._source.num_edges, _UNKNOWN_BUCKETS
        if announced is not None:
            # Twice as many as would do if all were of one size.
            number = -(-announced * (2 if self._directed else 4) // self._limit)
        number = max(1, min(number, num_nodes, _MOST_BUCKETS))
        starts = [(i * num_nodes // number) << bits for i in range(1, number)]
        folder = self._staging.path / "buckets"
        found = scatter(keys(), folder, np.array(starts, dtype=np.uint64))
        for bucket in found:
            bucket.sync()
        return {
            "num_nodes": num_nodes,
            "bits": bits,
            "edges_read": read,
            "buckets": [[one.path.name, one.count, one.low, one.high] for one in found],
            "done": 0,
            "rows": None,
        }

    def _count_nodes(self) -> int:
        """Read the edges once for their largest id alone."""
        largest = -1
        for edges, done in self._source.blocks(self._block, MAX_NODES):
            largest = max(largest, int(edges.max(initial=-1)))
            self._progress(done, "counting nodes")
        if largest < 0:
            raise ValueError(
                f"{self._source.files[0]}: no edges tell how many nodes there are; "
                "give num_nodes."
            )
        return largest + 1

    def _sort(self, state: dict[str, Any]) -> tuple[dict[str, Part], int]:
        """Sort one bucket after the other into rows."""
        folder = self._staging.path
        rows = RowWriter(
            folder,
            state["num_nodes"],
            state["bits"],
            step=self._step,
            state=state["rows"],
        )
        try:
            buckets = [
                Bucket(folder / "buckets" / name, *numbers)
                for name, *numbers in state["buckets"]
            ]
            total = sum(one.count for one in buckets)
            before = sum(one.count for one in buckets[: state["done"]])
            for number, bucket in enumerate(buckets[state["done"] :], state["done"]):
                for keys in sorted_runs(bucket, self._limit, self._block):
                    rows.add(keys)
                before += bucket.count
                state = state | {"done": number + 1, "rows": rows.sync()}
                self._staging.save(state)
                bucket.path.unlink()
                self._progress(before / total, "sorting edges")
            return rows.finish(), rows.loops
        finally:
            rows.close()

    def _weigh(self, num_nodes: int, num_edges: int) -> Part:
        """Read the edges once more, and write what each of those that are kept weighs.

        The sums are mapped from a file of 8 bytes an edge.
        """
        folder = self._staging.path
        rowptr, col = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("rowptr", "col")
        )
        sums: NDArray[np.float64] = np.zeros(0)
        if num_edges:
            sums = np.memmap(folder / "sums", np.float64, "w+", shape=(num_edges,))
        sum_weights(rowptr, col, self._weighted_edges(num_nodes), sums)
        block, done = max(self._block, 1), 0
        writer = NpyWriter(folder / f"{WEIGHT}.npy", "<f4")
        try:
            for weights in combined_weights(
                rowptr, col, sums, directed=self._directed, block=block
            ):
                writer.append(weights)
                done += weights.size
                self._progress(done / num_edges, "writing weights")
            return writer.finish()
        finally:
            writer.close()

    def _weighted_edges(self, num_nodes: int) -> Iterator[WeightedEdges]:
        read, total = 0, self._source.num_edges or 1
        if self._source.weights is not None:
            for edges, weight in self._source.weights(self._block, num_nodes):
                yield edges, weight
                read += weight.size
                self._progress(read / total, "reading weights")


def _keys(edges: NDArray[np.int64], bits: int, *, both_ways: bool) -> Keys:
    """The target of each edge above its source; then the other way round."""
    rows = edges.view(np.uint64)
    found = np.empty((1 + both_ways, edges.shape[1]), dtype=np.uint64)
    for number, keys in enumerate(found):
        np.left_shift(rows[1 - number], np.uint64(bits), out=keys)
        np.bitwise_or(keys, rows[number], out=keys)
    return found.reshape(-1)


def _ignore(done: float, stage: str) -> None:
    """Tell nobody."""
