"""``kdgraph inspect``: what it says of sound files and of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph import KDEmbedding

Kdgraph = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.kdg.safetensors"
    codes = KDEmbedding(1000, 12, codebook_size=(3, 5, 7, 2), coder="fixed")
    codes.export().save(path, gnn={"weight": torch.ones(3)}, metadata={"dataset": "d"})
    return path


def test_sizes_bytes_and_usage(kdgraph: Kdgraph, file: Path) -> None:
    done = kdgraph("inspect", file)
    assert (done.status, done.err) == (0, "")
    facts = dict(line.split(None, 1) for line in done.out.splitlines() if " " in line)
    assert facts["nodes"] == "1,000"
    assert facts["codebooks"] == "4 of size per position" or "4 of" in done.out
    assert facts["dataset"] == "d"
    # 2 + 3 + 3 + 1 bits; 17 codewords of 3 floats
    assert facts["codes"].split()[0] == "2,000"
    assert facts["embedding"].split()[0] == f"{2000 + 17 * 3 * 4:,}"
    assert facts["network"].split()[0] == "12"
    assert facts["file"].split()[0] == f"{file.stat().st_size:,}"
    assert facts["3"].split() == ["2", "100", "%", "2.0"]


@pytest.mark.parametrize(
    "damage", ["missing", "folder", "empty", "text", "cut", "flip"]
)
def test_broken_files_are_a_sentence(
    kdgraph: Kdgraph, file: Path, tmp_path: Path, damage: str
) -> None:
    content = file.read_bytes()
    if damage in ("missing", "folder"):
        file.unlink()
    if damage == "folder":
        file.mkdir()
    broken = {
        "empty": b"",
        "text": b"kdgraph",
        "cut": content[:-5],
        "flip": content[:-5] + bytes([content[-5] ^ 64]) + content[-4:],
    }
    if damage in broken:
        file.write_bytes(broken[damage])
    done = kdgraph("inspect", file)
    assert done.status == 2
    assert str(file) in done.sentence
