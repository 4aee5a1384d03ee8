"""Small graphs in files, and the command line without a process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph.cli import main

TINY = (
    *("--epochs", "3", "--dim", "8", "--num-codebooks", "4", "--codebook-size", "3"),
    *("--hidden-dim", "8"),
)
"""Options of ``kdgraph train`` that finish in a blink."""


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of an error."""
        assert not self.out
        assert self.err.count("\n") == 1, self.err
        return self.err


def save_graph(path: Path, **changes: Any) -> Path:
    """Two rings with few links between, 40 nodes, labelled by ring."""
    num_nodes = 40
    order = np.random.default_rng(0).permutation(num_nodes)
    half = num_nodes // 2
    steps = [(i, (i + s) % half) for i in range(half) for s in (1, 2)]
    edges = [(a + ring * half, b + ring * half) for a, b in steps for ring in (0, 1)]
    arrays: dict[str, Any] = {
        "edge_index": np.array([*edges, (0, half)]).T,
        "num_nodes": num_nodes,
        "y": (np.arange(num_nodes) >= half).astype(np.int64),
        "train_idx": order[:12],
        "valid_idx": order[12:24],
        "test_idx": order[24:],
    }
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **(arrays | changes))
    return path


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than these sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """A graph that trains in a blink."""
    return save_graph(tmp_path / "rings.npz")


@pytest.fixture
def kdgraph(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def train(
    kdgraph: Callable[..., Outcome], npz: Path, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Train on the tiny graph with more options, and read the result."""

    def run(*options: object) -> dict[str, Any]:
        out = tmp_path / "result.json"
        out.unlink(missing_ok=True)
        graph = () if "--dataset" in options else ("--dataset", npz)
        done = kdgraph("train", *graph, *TINY, "--json", out, *options)
        assert done.status == 0, done.err
        assert not done.err
        return strict_json(out)

    return run


def strict_json(path: Path) -> dict[str, Any]:
    """Read JSON that has neither NaN nor Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = json.loads(path.read_text(), parse_constant=refuse)
    assert isinstance(value, dict)
    return value


@pytest.fixture(name="save_graph")
def save_graph_fixture() -> Callable[..., Path]:
    """The function that writes the tiny graph with some arrays replaced."""
    return save_graph


@pytest.fixture(name="strict_json")
def strict_json_fixture() -> Callable[[Path], dict[str, Any]]:
    """The function that reads strictly valid JSON."""
    return strict_json


@pytest.fixture(name="tiny")
def tiny_fixture() -> tuple[str, ...]:
    """Options that finish in a blink."""
    return TINY
