"""From sorted keys to row starts and columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdgraph.data.disk.layout import Part
from kdgraph.data.disk.writer import NpyWriter


class RowWriter:
    r"""Writes the CSR of edges that come in order, keeping repeated ones once.

    An edge :math:`u \to v` is the key :math:`v \, 2^b + u`, so that ascending keys are
    rows with ascending columns.

    Args:
        folder: Where ``rowptr.npy`` and ``col.npy`` go.
        num_nodes: N.
        bits: b, such that :math:`N \le 2^b`.
        step: Keys that are worked on at a time.
        state: Of an earlier writer whose files are there, to go on from.
    """

    def __init__(
        self,
        folder: Path,
        num_nodes: int,
        bits: int,
        *,
        step: int,
        state: dict[str, Any] | None = None,
    ) -> None:
        state = state or {}
        self._num_nodes, self._step = num_nodes, step
        self._bits, self._mask = np.uint64(bits), np.uint64((1 << bits) - 1)
        narrow = num_nodes < 1 << 31
        self._rowptr = NpyWriter(
            folder / "rowptr.npy", "<i8", **state.get("rowptr", {})
        )
        self._col = NpyWriter(
            folder / "col.npy", "<i4" if narrow else "<i8", **state.get("col", {})
        )
        self.loops: int = state.get("loops", 0)

    @property
    def num_edges(self) -> int:
        """Edges written so far."""
        return self._col.length

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Write keys that are sorted and larger than all before, repeated ones once."""
        last: np.uint64 | None = None
        for start in range(0, keys.size, self._step):
            piece = keys[start : start + self._step]
            fresh = np.empty(piece.size, dtype=np.bool_)
            fresh[0] = last is None or piece[0] != last
            np.not_equal(piece[1:], piece[:-1], out=fresh[1:])
            last = piece[-1]
            distinct = piece[fresh]
            if distinct.size:
                self._append(distinct)

    def sync(self) -> dict[str, Any]:
        """Wait until all is on disk, and return the state to go on from."""
        for writer in (self._rowptr, self._col):
            writer.sync()
        rowptr, col = (
            {"length": writer.length, "crc32": writer.crc32}
            for writer in (self._rowptr, self._col)
        )
        return {"rowptr": rowptr, "col": col, "loops": self.loops}

    def finish(self) -> dict[str, Part]:
        """Write the starts of the last rows, which are empty, and close."""
        self._begin_rows(self._num_nodes, np.empty(0, dtype=np.uint64))
        return {"rowptr": self._rowptr.finish(), "col": self._col.finish()}

    def close(self) -> None:
        """Close the files as they are."""
        self._rowptr.close()
        self._col.close()

    def _append(self, keys: NDArray[np.uint64]) -> None:
        rows, columns = keys >> self._bits, keys & self._mask
        self._begin_rows(int(rows[-1]), keys)
        self.loops += int(np.count_nonzero(rows == columns))
        self._col.append(columns.astype(self._col.dtype))

    def _begin_rows(self, last: int, keys: NDArray[np.uint64]) -> None:
        # A row begins at the first key that is not below its own smallest.
        while self._rowptr.length <= last:
            first = self._rowptr.length
            stop = min(first + self._step, last + 1)
            rows = np.arange(first, stop, dtype=np.uint64)
            found = np.searchsorted(keys, rows << self._bits)
            self._rowptr.append(found.astype(np.int64) + self._col.length)
