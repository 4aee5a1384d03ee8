"""Time steps of all shapes turn by turn, so that a busy moment strikes all of them."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.message_passing import machine
from benchmarks.steps.shapes import SHAPES, Model
from kdgraph.ops import backend
from kdgraph.training.provenance import git_commit, versions

_BATCHES = 8
_FEWEST_ROUNDS = 3


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of steps and look-ups, by batch size and shape.

    Args:
        config: ``num_nodes``, ``dim``, ``batch_sizes``, ``seconds`` for each batch size
            and kind, and ``threads``.
    """
    torch.set_num_threads(config["threads"])
    torch.manual_seed(0)
    nodes, dim = config["num_nodes"], config["dim"]
    models = {name: shape.make(nodes, dim) for name, shape in SHAPES.items()}
    results = {}
    for size in config["batch_sizes"]:
        batches = [torch.randint(nodes, (size,)) for _ in range(_BATCHES)]
        grad = torch.randn(size, dim)
        steps = {name: _step(model, grad) for name, model in models.items()}
        looks = {name: _look(model) for name, model in models.items()}
        found: dict[str, Any] = {name: {} for name in models}
        for kind, calls in (("step", steps), ("evaluation", looks)):
            for model in models.values():
                model.encoder.train(kind == "step")
            for name, took in _turns(calls, batches, config["seconds"]).items():
                found[name][kind] = took
        results[str(size)] = found
    return {
        "config": config,
        "milliseconds": results,
        "backend": backend(),
        "machine": machine.describe(config["threads"]),
        "versions": versions(),
        "git": git_commit(),
    }


def _step(model: Model, grad: Tensor) -> Callable[[Tensor], None]:
    def step(n_id: Tensor) -> None:
        for optimizer in model.optimizers:
            optimizer.zero_grad()
        model.encoder(n_id).backward(grad)
        for optimizer in model.optimizers:
            optimizer.step()

    return step


def _look(model: Model) -> Callable[[Tensor], None]:
    @torch.no_grad()
    def look(n_id: Tensor) -> None:
        model.encoder(n_id)

    return look


def _turns(
    calls: dict[str, Callable[[Tensor], None]], batches: list[Tensor], seconds: float
) -> dict[str, float]:
    """The fastest of many turns each, every turn with the ids of another batch."""
    fastest = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call(batches[0])
    end, turn = time.perf_counter() + seconds, 0
    while turn < _FEWEST_ROUNDS or time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call(batches[turn % len(batches)])
            took = time.perf_counter() - start
            fastest[name] = min(fastest[name], 1e3 * took)
        turn += 1
    return fastest
