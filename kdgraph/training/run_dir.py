"""RunDir: the folder from which a killed run goes on."""

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kdgraph.atomic import remove_leftovers
from kdgraph.lock import acquire
from kdgraph.training.auto import Pick
from kdgraph.training.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    write_json,
)
from kdgraph.training.code_file import CodeFile, drop_codes
from kdgraph.training.config import TrainConfig
from kdgraph.training.seed_result import SeedResult
from kdgraph.training.stored import as_stored

IDENTITY = "run.json"
PICK = "auto.json"
_LOCK = ".lock"


class RunDir:
    """One method's results, artifacts and the checkpoint of the seed under way.

    ``run.json`` says what is trained: the same command with the same folder resumes,
    any other is refused. A folder of another version may lack keys, or have some that
    are not known here; see :mod:`kdgraph.training.stored`. The folder is locked until
    it is closed, so that two processes cannot write it at once. A run that left nothing
    behind leaves no folder either.

    Args:
        path: The folder; made if it is not there.
        identity: What is trained: configuration, graph and its fingerprint.

    Raises:
        ValueError: The folder holds another run, or is in use.
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self._check_usable()
        self._made = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = acquire(path / _LOCK)
        except BlockingIOError as error:
            raise ValueError(f"{path} is in use by another process") from error
        try:
            self._check_identity(identity)
        except BaseException:
            self._lock.close()
            raise
        try:
            self._begin(identity)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the folder."""
        with contextlib.suppress(OSError):
            if {item.name for item in self.path.iterdir()} <= {IDENTITY, _LOCK}:
                (self.path / IDENTITY).unlink(missing_ok=True)
                (self.path / _LOCK).unlink(missing_ok=True)
                for folder in self._made:
                    folder.rmdir()
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

    def result(self, seed: int) -> SeedResult | None:
        """What a finished seed gave; ``None`` where it is not finished.

        Raises:
            ValueError: Its file is damaged.
        """
        path = result_path(self.path, seed)
        return SeedResult.read(path) if path.exists() else None

    def finish(self, result: SeedResult) -> None:
        """Record a seed as finished, and drop what it was gone on from."""
        write_json(result_path(self.path, result.seed), result.as_dict())
        self._drop(result.seed)

    def checkpoint_path(self, seed: int) -> Path:
        """Where the state of a seed under way lies."""
        return self.path / f"seed-{seed}.checkpoint.pt"

    def save(self, seed: int, state: dict[str, Any]) -> None:
        """Checkpoint a seed under way."""
        save_checkpoint(self.checkpoint_path(seed), state)

    def load(self, seed: int) -> dict[str, Any] | None:
        """The checkpoint of a seed, if it was under way.

        Raises:
            ValueError: It is damaged.
        """
        return load_checkpoint(self.checkpoint_path(seed))

    def code_file(self, recipe: str, seed: int) -> CodeFile:
        """Where the codes of a seed under way are kept."""
        return CodeFile(codes_path(self.path, seed), recipe, seed)

    def pick(self) -> Pick | None:
        """What coder ``"auto"`` was settled as, if it was.

        Raises:
            ValueError: Its file is damaged.
        """
        path = self.path / PICK
        if not path.exists():
            return None
        try:
            return Pick.from_dict(json.loads(path.read_text()))
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged; remove the folder to start again"
            ) from error

    def keep_pick(self, pick: Pick) -> None:
        """Settle what coder ``"auto"`` is for this folder."""
        write_json(self.path / PICK, pick.as_dict())

    def _check_usable(self) -> None:
        """Leave alone what is no run folder, before even a lock is put there."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; give a folder to keep the run in")
        if not path.exists() or (path / IDENTITY).exists():
            return
        if any(not item.name.startswith(".") for item in path.iterdir()):
            raise ValueError(
                f"{path} is not empty and holds no run; choose another folder"
            )

    def _check_identity(self, identity: dict[str, Any]) -> None:
        path = self.path / IDENTITY
        if not path.exists():
            return
        found, wanted = read_json(path), json.loads(json.dumps(identity))
        if isinstance(found.get("config"), dict):
            found["config"] = as_stored(TrainConfig, found["config"])
        if found != wanted:
            raise ValueError(
                f"{self.path} holds another run ({_difference(found, wanted)}); repeat "
                "its command to go on, or choose another folder"
            )

    def _begin(self, identity: dict[str, Any]) -> None:
        """Tidy up after a kill, and say what is trained here."""
        remove_leftovers(self.path)
        if not (self.path / IDENTITY).exists():
            write_json(self.path / IDENTITY, identity)
        for seed in finished_seeds(self.path):
            self._drop(seed)

    def _drop(self, seed: int) -> None:
        """Remove what only a seed under way needs."""
        self.checkpoint_path(seed).unlink(missing_ok=True)
        drop_codes(codes_path(self.path, seed), artifact_path(self.path, seed))


def result_path(folder: Path, seed: int) -> Path:
    """Where a run folder keeps what a finished seed gave."""
    return folder / f"seed-{seed}.json"


def artifact_path(folder: Path, seed: int) -> Path:
    """Where a run folder keeps the packed model of a finished seed."""
    return folder / f"seed-{seed}.kdg.safetensors"


def codes_path(folder: Path, seed: int) -> Path:
    """Where a run folder keeps the codes that were read off the graph for a seed."""
    return folder / f"seed-{seed}.codes.safetensors"


def order_path(folder: Path, seed: int) -> Path:
    """Where folders of older versions say which node is at each place of an order."""
    return folder / f"seed-{seed}.order.npy"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: The file is missing, unreadable or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def finished_seeds(path: Path) -> list[int]:
    """The finished seeds of a run folder, in order.

    Raises:
        ValueError: The folder holds no run.
    """
    if not (path / IDENTITY).exists():
        raise ValueError(
            f"{path} holds no run; give the folder of kdgraph train --save"
        )
    numbers = [file.stem.removeprefix("seed-") for file in path.glob("seed-*.json")]
    return sorted(int(number) for number in numbers if number.isdecimal())


def _difference(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """Name what differs: ``key: 1 there, 2 here``."""
    parts = []
    for key in sorted({*found, *wanted}):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = _difference(old, new, f"{prefix}{key}.")
            parts += [inner] if inner else []
        elif old != new:
            parts.append(f"{prefix}{key}: {old!r} there, {new!r} here")
    return "; ".join(parts)
