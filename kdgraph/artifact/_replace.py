"""Replacing a file: by all of the new content or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter


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


def check_target(name: str) -> str:
    """Check that a file could be written, before the work of making its content.

    Returns:
        Its path behind symbolic links, so that those stay.

    Raises:
        OSError: No folder to write to, or something in the way.
    """
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            errno.ENOENT, f"the folder {folder} does not exist; create it first"
        )
    if not os.path.exists(target):
        return target
    mode = os.stat(target).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "it exists and is not a regular file")
    if not os.access(target, os.W_OK):
        # Renaming over it would succeed all the same.
        raise PermissionError(errno.EACCES, "it exists and is write-protected")
    return target


@contextmanager
def replacing(target: str) -> Iterator[BufferedWriter]:
    """Write beside a file, and rename over it once everything is on disk.

    Whatever goes wrong, nothing new stays and an older file is untouched.
    """
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".kdgraph-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make the renaming durable, where the system knows how."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
