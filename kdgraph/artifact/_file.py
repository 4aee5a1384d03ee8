"""Files on disk: opened with care, read in full, mapped."""

import mmap
import os
import platform
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import torch
from torch import Tensor


@contextmanager
def opened(name: str) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file, and put its name before whatever is found wrong with it.

    Yields:
        The file and its length.

    Raises:
        ValueError: Not a regular file, empty, unreadable, or a ``ValueError`` inside.
    """
    try:
        mode = Path(name).stat().st_mode
        # Before opening: opening a pipe would wait for its other end.
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise ValueError(f"it is {kind}")
        with Path(name).open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            if file_bytes == 0:
                raise ValueError("it is empty")
            yield file, file_bytes
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"artifact {name} cannot be read: {reason}") from error
    except ValueError as error:
        raise ValueError(f"artifact {name} cannot be read: {error}") from None


def read_exactly(file: BufferedReader, nbytes: int) -> bytearray:
    """Read bytes into memory that a tensor may own.

    Raises:
        ValueError: The file ends earlier: someone cut it meanwhile.
    """
    content = bytearray(nbytes)
    if file.readinto(content) != nbytes:
        raise ValueError("it was truncated while being read")
    return content


def map_bytes(file: BufferedReader, start: int, count: int) -> Tensor:
    """Map a part of a file as ``uint8``, read page by page when used.

    The map is private: writing to the tensor leaves the file alone.

    Args:
        file: An open file, which may be closed afterwards.
        start: First byte.
        count: Number of bytes, at least 1.
    """
    skipped = start % mmap.ALLOCATIONGRANULARITY
    number, length, offset = file.fileno(), skipped + count, start - skipped
    if sys.platform == "win32":
        mapped = mmap.mmap(number, length, access=mmap.ACCESS_COPY, offset=offset)
    else:
        flags = mmap.MAP_PRIVATE | _NORESERVE
        mapped = mmap.mmap(number, length, flags=flags, offset=offset)
    return torch.frombuffer(mapped, dtype=torch.uint8, count=count, offset=skipped)


# Without it Linux may refuse a private map larger than the memory. Python has a name
# for the flag from 3.13 on.
_GENERIC = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_NORESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if _GENERIC else 0)
