"""Checks of where an artifact goes, before the work of making it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of a file before what keeps it from being written.

    Raises:
        OSError: An ``OSError`` inside, of the same kind.
        ValueError: A ``ValueError`` inside.
    """
    try:
        yield
    except OSError as error:
        # With a number, OSError makes the kind that belongs to it.
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        message = f"artifact {name} cannot be written: {reason}"
        raise OSError(number, message) from error
    except ValueError as error:
        raise ValueError(f"artifact {name} cannot be written: {error}") from None


def check_target(name: str) -> Path:
    """Check that a file could be written, before the work of making its content.

    Returns:
        Its path behind symbolic links, so that those stay.

    Raises:
        OSError: No folder to write to, or something in the way.
    """
    target = Path(name).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"the folder {target.parent} does not exist; create it first"
        )
    if not target.exists():
        return target
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "it exists and is not a regular file")
    if not os.access(target, os.W_OK):
        # Renaming over it would succeed all the same.
        raise PermissionError(errno.EACCES, "it exists and is write-protected")
    return target
