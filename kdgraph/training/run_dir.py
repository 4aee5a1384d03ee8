"""RunDir: the folder from which a killed run goes on."""

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kdgraph.training.checkpoint import load_checkpoint, save_checkpoint, write_json

IDENTITY = "run.json"


class RunDir:
    """One method's results, artifacts and the checkpoint of the seed under way.

    ``run.json`` says what is trained: the same command with the same folder goes on, any
    other is refused. Used as a context manager, the folder is locked, so that two
    processes cannot write it at once.

    Args:
        path: The folder; made if it is not there.
        identity: What is trained: configuration, graph and its fingerprint.

    Raises:
        ValueError: The folder holds another run, or is in use.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; --save expects a folder")
        path.mkdir(parents=True, exist_ok=True)
        self._lock = (path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ValueError(f"{path} is in use by another process") from error
        try:
            self._adopt(identity)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def __enter__(self) -> Self:
        """Nothing more to do: the folder is locked from the beginning."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the folder."""
        self.close()

    def result(self, seed: int) -> dict[str, Any] | None:
        """What a finished seed gave; ``None`` where it is not finished."""
        path = self.path / f"seed-{seed}.json"
        return read_json(path) if path.exists() else None

    def finish(self, seed: int, result: dict[str, Any]) -> None:
        """Record a seed as finished, and drop its checkpoint."""
        write_json(self.path / f"seed-{seed}.json", result)
        self._checkpoint.unlink(missing_ok=True)

    def artifact_path(self, seed: int) -> Path:
        """Where the packed model of a seed lies."""
        return self.path / f"seed-{seed}.kdg.safetensors"

    def save(self, seed: int, state: dict[str, Any]) -> None:
        """Checkpoint the seed under way."""
        save_checkpoint(self._checkpoint, {"seed": seed, **state})

    def load(self, seed: int) -> dict[str, Any] | None:
        """The checkpoint of this seed, if it was under way."""
        state = load_checkpoint(self._checkpoint)
        return state if state is not None and state.get("seed") == seed else None

    @property
    def _checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    def _adopt(self, identity: dict[str, Any]) -> None:
        path = self.path / IDENTITY
        wanted = json.loads(json.dumps(identity))
        if not path.exists():
            strangers = [item.name for item in self.path.iterdir() if item.name != ".lock"]
            if strangers and not all(name.startswith("compare-") for name in strangers):
                raise ValueError(
                    f"{self.path} is not empty and holds no run; choose another folder"
                )
            write_json(path, wanted)
            return
        found = read_json(path)
        if found != wanted:
            raise ValueError(
                f"{self.path} holds another run ({_difference(found, wanted)}); repeat its "
                "command to go on, or choose another folder"
            )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: The file is missing, unreadable or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def finished_seeds(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The finished seeds of a run folder, in order.

    Raises:
        ValueError: The folder holds no run.
    """
    if not (path / IDENTITY).exists():
        raise ValueError(f"{path} holds no run; give the folder of kdgraph train --save")
    found = []
    for file in path.glob("seed-*.json"):
        number = file.stem.removeprefix("seed-")
        if number.isdigit():
            found.append((int(number), read_json(file)))
    return sorted(found, key=lambda item: item[0])


def _difference(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """Name what differs, ``key: found -> wanted``."""
    parts = []
    for key in sorted({*found, *wanted}):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = _difference(old, new, f"{prefix}{key}.")
            parts += [inner] if inner else []
        elif old != new:
            parts.append(f"{prefix}{key}: {old!r} there, {new!r} here")
    return "; ".join(parts)
