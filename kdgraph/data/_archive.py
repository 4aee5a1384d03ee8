"""Arrays of an ``.npz`` archive, looked at before they are read."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_DAMAGE = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Header:
    """What an array says of itself before its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """An open ``.npz`` file whose faults are sentences.

    Only headers are read until an array is asked for, so a size declared by the file
    can be compared with the memory at hand first. Nothing is ever unpickled.

    Raises:
        ValueError: If the file is missing, a folder, damaged or not an archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise self.fault("is a folder", "name the .npz file itself")
        if not self.path.exists():
            raise self.fault("does not exist", "check the path")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except PermissionError as error:
            raise self.fault("may not be read", "check its permissions") from error
        except _DAMAGE as error:
            raise self.fault(*self._no_zip()) from error
        self._members = {
            info.filename[: -len(".npy")]: info
            for info in self._zip.infolist()
            if info.filename.endswith(".npy")
        }
        self._headers: dict[str, Header] = {}

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def __contains__(self, key: object) -> bool:
        return key in self._members

    @property
    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(self._members)

    def require(self, *keys: str) -> None:
        """Check that arrays are there.

        Raises:
            ValueError: If one is not.
        """
        missing = [key for key in keys if key not in self]
        if missing:
            raise self.fault(
                f"{', '.join(missing)} missing", "copy or download it again"
            )

    def header(self, key: str) -> Header:
        """Return shape and type of an array, checked against the bytes stored.

        Raises:
            ValueError: If the header is damaged, lies, or announces Python objects.
        """
        if key not in self._headers:
            info = self._members[key]
            try:
                with self._zip.open(info) as file:
                    header = _read_header(file)
                    offset = file.tell()
            except _DAMAGE as error:
                raise self._damaged(key) from error
            if header.dtype.hasobject:
                raise self.fault(
                    f"{key} holds Python objects, which are not read from files",
                    "save a plain array of numbers",
                )
            if min(header.shape, default=0) < 0 or (
                offset + header.nbytes != info.file_size
            ):
                raise self._damaged(key)
            self._headers[key] = header
        return self._headers[key]

    def read(self, key: str) -> NDArray[Any]:
        """Return an array.

        Raises:
            ValueError: If its bytes are damaged.
        """
        self.header(key)
        try:
            with self._zip.open(self._members[key]) as file:
                array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
                return array
        except _DAMAGE as error:
            raise self._damaged(key) from error

    def pieces(self, key: str, size: int, *, skip: int = 0) -> Iterator[NDArray[Any]]:
        """Yield the values of an array flat, in the order in which they are stored.

        Several arrays, or one from several places, may be read at the same time.

        Args:
            key: The array.
            size: Values at a time.
            skip: Values to pass over first.

        Raises:
            ValueError: If its bytes are damaged.
        """
        header = self.header(key)
        width = header.dtype.itemsize
        before, left = skip * width, header.nbytes - skip * width
        try:
            with self._zip.open(self._members[key]) as file:
                _read_header(file)
                while before:
                    before -= len(_read_exactly(file, min(before, _CHUNK)))
                while left:
                    data = _read_exactly(file, min(left, size * width))
                    left -= len(data)
                    yield np.frombuffer(data, header.dtype)
                file.read(1)  # where the checksum of the member is compared
        except _DAMAGE as error:
            raise self._damaged(key) from error

    def fault(self, what: str, remedy: str) -> ValueError:
        """Return the error that says what is wrong and what to do."""
        return ValueError(f"{self.path}: {what}; {remedy}.")

    def _damaged(self, key: str) -> ValueError:
        return self.fault(f"{key} is truncated or damaged", "copy or save it again")

    def _no_zip(self) -> tuple[str, str]:
        try:
            with self.path.open("rb") as file:
                start = file.read(6)
        except OSError:
            return "cannot be read", "copy it again"
        if not start:
            return "is empty", "copy or save it again"
        if start.startswith(b"PK"):
            return "is a truncated or damaged archive", "copy or save it again"
        if start == npy.MAGIC_PREFIX:
            return "is a single array, not an .npz archive", "save it with np.savez"
        return "is not an .npz archive", "save it with np.savez"


def _read_header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    else:  # 3.0 differs from 2.0 in the encoding of field names only
        shape, fortran, dtype = npy.read_array_header_2_0(file)
    return Header(tuple(shape), dtype, bool(fortran))


def _read_exactly(file: IO[bytes], size: int) -> bytearray:
    # Little by little: what is unpacked at once is copied several times on the way.
    data = bytearray(size)
    for start in range(0, size, _CHUNK):
        piece = file.read(min(_CHUNK, size - start))
        data[start : start + len(piece)] = piece
        if len(piece) < min(_CHUNK, size - start):
            raise EOFError
    return data
