"""One process at a time."""

import errno
import os
import sys
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[Any]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[Any]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


MOVES_WHILE_OPEN = sys.platform != "win32"
"""Whether a file that is open can be renamed and removed."""
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


def acquire(path: Path, mode: str = "a") -> IO[Any]:
    """Lock a file; closing it, or dying, unlocks it.

    Args:
        path: The file.
        mode: How to open it. (default: ``"a"``, which makes it if it is not there)

    Raises:
        BlockingIOError: Another process, or thread, has it.
        OSError: It cannot be opened, or the file system has no locks.
    """
    while True:
        file = path.open(mode)
        try:
            hold(file, path)
            # What was removed or renamed before it was locked guards nothing.
            if is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def hold(file: IO[Any], path: Path) -> None:
    """Lock an open file.

    Raises:
        BlockingIOError: Another process, or thread, has it.
        OSError: The file system has no locks.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _TAKEN:
            raise BlockingIOError(error.errno, "in use", str(path)) from error
        raise


def is_at(file: IO[Any], path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
