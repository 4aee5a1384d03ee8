"""One process at a time."""

import errno
import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


def acquire(path: Path) -> IO[str]:
    """Lock a file, made if it is not there; closing it, or dying, unlocks it.

    Raises:
        BlockingIOError: Another process has it.
        OSError: It cannot be opened, or the file system has no locks.
    """
    file = path.open("a")
    try:
        _lock(file)
    except OSError as error:
        file.close()
        if error.errno in _TAKEN:
            raise BlockingIOError(error.errno, "in use", str(path)) from error
        raise
    return file
