"""Files that are whole or not there, and checkpoints that prove it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph.training.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    write_json,
)

STATE: dict[str, Any] = {"a": torch.arange(5.0), "b": {"c": [1.0, 2.5], "d": None}}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, STATE)
    loaded = load_checkpoint(path)
    assert loaded is not None
    assert torch.equal(loaded["a"], STATE["a"])
    assert loaded["b"] == STATE["b"]
    assert [item.name for item in tmp_path.iterdir()] == ["state.pt"]


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, STATE)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        )
        with pytest.raises(ValueError, match="truncated or damaged; remove it"):
            load_checkpoint(path)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 500, -1])
def test_truncation_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_checkpoint(path)


def test_what_is_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "list.pt", [1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holds no training state"):
        load_checkpoint(tmp_path / "list.pt")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_what_stops_a_checkpoint_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """And not torch's complaint that its file ends too early."""

    def stop(self: Any, data: bytes) -> int:
        raise error

    monkeypatch.setattr("kdgraph.training.checkpoint._HashingWriter.write", stop)
    with pytest.raises(type(error)):
        save_checkpoint(tmp_path / "state.pt", STATE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_is_strict(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "out.json", {"a": value})
    assert not list(tmp_path.iterdir())
