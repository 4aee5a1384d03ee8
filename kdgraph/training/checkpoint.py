"""Checkpoints: written beside and renamed, so that one good one always exists."""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: The disk is full, or the folder cannot be written; nothing is left
            behind, and a file that was there stays.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state of tensors and plain values."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a training state; ``None`` where there is none.

    Raises:
        ValueError: The file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable checkpoint ({type(error).__name__}); remove it to "
            "start this seed again"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no training state; remove it to start again")
    return state
