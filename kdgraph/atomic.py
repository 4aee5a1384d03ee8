"""Files written whole or not at all, by as many writers as there are.

Every writer has a file of its own beside the one it writes, and keeps it locked. What
nobody has locked was left by a killed process, and the next writer removes it. Where
the file system has no locks, it stays.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kdgraph.lock import MOVES_WHILE_OPEN, acquire, hold, is_at

_LOCK = ".lock"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write beside a file, and rename over it once everything is on disk.

    Readers see the old file or the new one, and of several writers the last one stays.
    What a killed writer of the same file left is removed. A symbolic link stays, and a
    device or a pipe takes the bytes as they come.

    Raises:
        OSError: The disk is full, or the folder cannot be written; nothing new is left,
            and a file that was there stays.
    """
    target = path.resolve()
    temporary: Path | None = None
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                yield device
            return
        remove_leftovers(target.parent, target.name)
        temporary, file = _create(target)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not MOVES_WHILE_OPEN:
                file.close()
            temporary.replace(target)
        sync_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            # Writing itself does not say where: name what was to be written.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes had not finished writing.

    Args:
        folder: Where to look.
        name: The file that they were writing. (default: any)
    """
    if name is None:
        pattern = re.compile(r"\..*\.tmp", re.DOTALL)
    else:
        pattern = re.compile(rf"\.{re.escape(name)}(\.[0-9a-f]{{8}})?\.tmp")
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_left(Path(entry.path))


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder of one's own, removed at the end; what killed processes left goes too.

    Args:
        parent: Where it is made.
        prefix: How its name begins, and that of those before it.
    """
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), acquire(left / _LOCK):
            shutil.rmtree(left, ignore_errors=True)
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            lock = acquire(folder / _LOCK)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process took it for a leftover
        try:
            with lock:
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return


def sync_folder(folder: Path) -> None:
    """Make a renaming durable, where the system knows how."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _create(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside another, locked where there are locks."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            file = temporary.open("xb")
        except FileExistsError:
            continue
        try:
            hold(file, temporary)
        except BlockingIOError:
            file.close()
            continue  # another process is about to remove it as a leftover
        except OSError:
            return temporary, file
        if is_at(file, temporary):
            return temporary, file
        file.close()


def _remove_if_left(path: Path) -> None:
    """Remove a file that no writer has locked."""
    try:
        lock = acquire(path, "r+b")
    except OSError:
        return
    with lock, contextlib.suppress(OSError):
        if not MOVES_WHILE_OPEN:
            lock.close()
        path.unlink(missing_ok=True)
