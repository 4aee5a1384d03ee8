"""The folder beside the final one, in which a graph is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import IO, Any

from kdgraph.atomic import replacing, sync_folder
from kdgraph.data.disk.layout import Meta, is_graph
from kdgraph.lock import MOVES_WHILE_OPEN, acquire

_STATE = "state.json"
_LOCK = ".lock"


def staging_path(output: Path) -> Path:
    """Return where a graph is built that will be ``output``."""
    place = output.expanduser().resolve()
    return place.with_name(f".{place.name}.partial")


def check_output(output: Path, *, force: bool) -> None:
    """Refuse a place that cannot be written or must not be replaced.

    Raises:
        ValueError: In one sentence.
    """
    parent = output.resolve().parent
    if not parent.is_dir():
        raise ValueError(
            f"{output}: the folder {parent} does not exist; create it first."
        )
    if not output.exists():
        return
    if not force:
        raise ValueError(
            f"{output}: is there already; name another folder, or replace it with "
            "--force."
        )
    if not output.is_dir() or not (is_graph(output) or not any(output.iterdir())):
        raise ValueError(
            f"{output}: is no graph on disk, and only such is replaced; name another "
            "folder."
        )


class Staging:
    """A build under way, which the next process goes on with if this one is killed.

    Args:
        output: Where the graph goes in the end.
        identity: What is built of what; the state of another build is not used.
        force: Replace a graph on disk that is there. (default: ``False``)

    Raises:
        ValueError: Another process builds the same, or has just built it.
        OSError: The folder cannot be written.
    """

    def __init__(
        self, output: Path, identity: dict[str, Any], *, force: bool = False
    ) -> None:
        self.output = output.expanduser().resolve()
        self.path = staging_path(output)
        self._identity = json.loads(json.dumps(identity))
        self._lock = self._acquire(output)
        try:
            check_output(output, force=force)
        except ValueError:
            self.discard()
            raise
        self.state = self._read_state()

    def save(self, state: dict[str, Any]) -> None:
        """Note how far the build is."""
        self.state = state
        with replacing(self.path / _STATE) as file:
            file.write(json.dumps({"identity": self._identity} | state).encode())

    def publish(self, meta: Meta) -> None:
        """Write ``meta.json`` and give the folder its name."""
        for item in self.path.iterdir():
            if item.name.removesuffix(".npy") not in meta.parts and item.name != _LOCK:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        meta.write(self.path)
        if not MOVES_WHILE_OPEN:
            self._lock.close()
        # A folder cannot be renamed over one that is not empty.
        old = self.path.with_name(f".{self.output.name}.old")
        if self.output.exists():
            shutil.rmtree(old, ignore_errors=True)
            self.output.rename(old)
        try:
            self.path.rename(self.output)
        except OSError:
            if old.exists():
                old.rename(self.output)
            raise
        # Locked until here: who waits for the lock finds the graph in its place.
        (self.output / _LOCK).unlink(missing_ok=True)
        self._lock.close()
        sync_folder(self.output.parent)
        shutil.rmtree(old, ignore_errors=True)

    def release(self) -> None:
        """Leave everything for the next process."""
        self._lock.close()

    def discard(self) -> None:
        """Leave nothing."""
        if not MOVES_WHILE_OPEN:
            self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def _acquire(self, output: Path) -> IO[Any]:
        while True:
            self.path.mkdir(exist_ok=True)
            try:
                return acquire(self.path / _LOCK)
            except FileNotFoundError:
                continue  # it was just given its name
            except BlockingIOError as error:
                raise ValueError(
                    f"{output}: another process prepares it; wait for that one."
                ) from error

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.path / _STATE).read_bytes())
            if state.pop("identity") == self._identity:
                return dict(state)
        except (OSError, ValueError, KeyError, AttributeError):
            pass
        for item in self.path.iterdir():
            if item.name != _LOCK:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        return {}


def describe_files(files: tuple[Path, ...]) -> list[list[Any]]:
    """Return path, size and time of change of each file."""
    found = []
    for path in files:
        stat = path.stat()
        found.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    return found
