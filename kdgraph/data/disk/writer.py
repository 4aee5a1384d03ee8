"""Arrays and rows that are written while they come."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kdgraph.data.disk.layout import Part
from kdgraph.data.disk.reader import checksum


class NpyWriter:
    """A one-dimensional ``.npy`` file that grows, and goes on after an interruption.

    Args:
        path: The file.
        dtype: Of the values.
        length: Values that are kept of a file that is there.
        crc32: Of those.
    """

    def __init__(
        self, path: Path, dtype: str, *, length: int = 0, crc32: int = 0
    ) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.length, self.crc32 = length, crc32
        self._file = path.open("r+b" if length else "w+b")
        self._file.write(self._header())
        self._file.truncate(self._file.tell() + length * self.dtype.itemsize)
        self._file.seek(0, io.SEEK_END)

    def append(self, values: NDArray[Any]) -> None:
        """Write values behind the others."""
        data = np.ascontiguousarray(values, dtype=self.dtype)
        raw = data.view(np.uint8).data
        self._file.write(raw)
        self.crc32 = zlib.crc32(raw, self.crc32)
        self.length += data.size

    def sync(self) -> None:
        """Wait until everything is on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> Part:
        """Write the final header and close the file."""
        self._file.seek(0)
        self._file.write(self._header())
        self.sync()
        self._file.close()
        shape, size = (self.length,), self.path.stat().st_size
        return Part(self.dtype.str, shape, size, self.crc32)

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _header(self) -> bytes:
        # numpy pads it so that a number of any length fits.
        header = io.BytesIO()
        descr = npy.dtype_to_descr(self.dtype)
        shape = (self.length,)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(header, fields)
        return header.getvalue()


def save_part(path: Path, array: NDArray[Any]) -> Part:
    """Write an array that is there already."""
    with path.open("wb") as file:
        npy.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    size = path.stat().st_size
    return Part(array.dtype.str, array.shape, size, checksum(array))
