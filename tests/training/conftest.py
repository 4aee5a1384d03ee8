"""Graphs of tens of nodes, and configurations that train in a blink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph.data import Graph, build_adjacency
from kdgraph.training import TrainConfig


def make_graph(**changes: Any) -> Graph:
    """Two rings of 20 nodes, one edge between them, labelled by ring."""
    half = 20
    steps = [(i, (i + s) % half) for i in range(half) for s in (1, 2)]
    edges = [(a + ring * half, b + ring * half) for a, b in steps for ring in (0, 1)]
    order = torch.from_numpy(np.random.default_rng(0).permutation(2 * half))
    parts: dict[str, Any] = {
        "name": "rings",
        "adj": build_adjacency(np.array([*edges, (0, half)]).T, 2 * half),
        "y": (torch.arange(2 * half) >= half).long(),
        "train_idx": order[:12],
        "valid_idx": order[12:24],
        "test_idx": order[24:],
        "num_classes": 2,
    }
    return Graph(**(parts | changes))


def make_config(**changes: Any) -> TrainConfig:
    """A resolved configuration of 5 epochs."""
    values: dict[str, Any] = {
        "num_codebooks": 4,
        "codebook_size": 3,
        "query_dim": 2,
        "dim": 8,
        "model": "gcn",
        "hidden_dim": 8,
        "num_layers": 2,
        "norm": "none",
        "dropout": 0.5,
        "input_dropout": 0.2,
        "weight_decay": 5e-4,
        "coder_weight_decay": 1e-5,
        "epochs": 5,
        "patience": 100,
    }
    return TrainConfig(**(values | changes))


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than these sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def graph() -> Graph:
    """The two rings."""
    return make_graph()


@pytest.fixture(name="make_graph")
def make_graph_fixture() -> Callable[..., Graph]:
    """The function that makes the two rings, with some parts replaced."""
    return make_graph


@pytest.fixture(name="make_config")
def make_config_fixture() -> Callable[..., TrainConfig]:
    """The function that makes a small configuration, with some values replaced."""
    return make_config
