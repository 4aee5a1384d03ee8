"""Files that are whole or not there, and checkpoints that prove it."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph.atomic import remove_leftovers, replacing
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


def test_failure_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def _write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise error


def test_full_disk_names_the_file(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left") as caught:
        _write_half(tmp_path / "file", full)
    assert caught.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())


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


def test_what_a_killed_process_left_is_overwritten_or_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_text("left")
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    (tmp_path / ".file.tmp").write_text("left")
    (tmp_path / ".kdgraph-12.tmp").write_text("left")
    remove_leftovers(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_link_planted_beside_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".file.tmp").symlink_to(victim)
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert victim.read_text() == "precious"


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    usual = os.umask(0o022)
    try:
        write_json(tmp_path / "out.json", {})
    finally:
        os.umask(usual)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_is_strict(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "out.json", {"a": value})
    assert not list(tmp_path.iterdir())
