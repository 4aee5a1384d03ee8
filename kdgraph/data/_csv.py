"""Integers in gzipped comma-separated text, without a data-frame library."""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 24
_ALLOWED = b"0123456789,-\n"


def read_ints(path: Path, columns: int = 1) -> NDArray[np.int64]:
    """Read a gzipped table of integers without a header.

    Text is parsed in pieces, so a large table never lies in memory as text.

    Args:
        path: The file.
        columns: Number of columns expected.

    Returns:
        Array of shape [rows, columns].

    Raises:
        ValueError: If the file is damaged or holds anything else.
    """
    parts: list[NDArray[np.int64]] = []
    rest = b""
    try:
        with gzip.open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                head, newline, tail = (rest + chunk).rpartition(b"\n")
                if newline:
                    parts.append(_parse(head, columns, path))
                rest = tail
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: the file is truncated or damaged; copy or download it again."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{path}: the file cannot be read ({error.strerror or error}); check that "
            "it is a readable file."
        ) from error
    parts.append(_parse(rest, columns, path))
    return np.concatenate(parts)


def count_columns(path: Path) -> int:
    """Return the number of columns in the first line, or 0 where there is none."""
    try:
        with gzip.open(path, "rb") as file:
            line = file.readline().strip()
    except (OSError, EOFError, zlib.error):
        return 0
    return line.count(b",") + 1 if line else 0


def _parse(text: bytes, columns: int, path: Path) -> NDArray[np.int64]:
    text = text.replace(b"\r", b"").strip(b"\n")
    if not text:
        return np.empty((0, columns), dtype=np.int64)
    strange = text.translate(None, _ALLOWED)
    rows = text.count(b"\n") + 1
    values: NDArray[Any] = np.empty(0, dtype=np.int64)
    if not strange and text.count(b",") == rows * (columns - 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an empty field is only a warning
                flat = text.replace(b"\n", b",").decode("ascii")
                values = np.fromstring(flat, dtype=np.int64, sep=",")
        except (DeprecationWarning, ValueError):
            pass
    if values.size != rows * columns:
        raise ValueError(
            f"{path}: the file must hold {columns} integer(s) per line; copy or "
            "download it again."
        )
    return values.reshape(rows, columns)
