"""Checkpoints that prove to be whole, and results as JSON."""

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from kdgraph.atomic import replacing

_DIGEST_BYTES = 32
_BLOCK = 1 << 20


def write_json(path: Path, value: Any) -> None:
    """Write strictly valid JSON whole or not at all.

    Raises:
        ValueError: A NaN or an infinity, which JSON does not have.
        OSError: It cannot be written.
    """
    content = (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
    with replacing(path) as file:
        file.write(content)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state of tensors and plain values, and its checksum.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(path) as file:
        writer = _HashingWriter(file)
        try:
            # torch asks no more of a file than writing, but types it as a whole one.
            torch.save(state, cast("IO[bytes]", writer))
        except RuntimeError as error:
            # What stopped the writing; torch tells that it could not end its file.
            if isinstance(error.__context__, OSError | KeyboardInterrupt):
                raise error.__context__ from None
            raise
        file.write(writer.digest.digest())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a training state; ``None`` where there is none.

    Raises:
        ValueError: The file cannot be read or is not what was written.
    """
    try:
        with path.open("rb") as file:
            if not _is_whole(file):
                raise ValueError(
                    f"{path} is truncated or damaged; remove it to start its seed again"
                )
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(state, dict):
        raise ValueError(
            f"{path} holds no training state; remove it to start its seed again"
        )
    return state


class _HashingWriter:
    """A file that remembers the checksum of what was written: no copy in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _is_whole(file: BinaryIO) -> bool:
    """Whether a file ends with the checksum of what precedes; rewinds it."""
    rest = file.seek(0, os.SEEK_END) - _DIGEST_BYTES
    file.seek(0)
    digest = hashlib.sha256()
    while rest > 0:
        block = file.read(min(rest, _BLOCK))
        if not block:
            return False
        digest.update(block)
        rest -= len(block)
    whole = file.read() == digest.digest()
    file.seek(0)
    return whole
