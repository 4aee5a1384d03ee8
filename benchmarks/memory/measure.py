"""Measure one method at one size; its own process, so that its memory is its own."""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.memory.methods import DIM, METHODS, Method
from benchmarks.process import failure, leave_result
from kdgraph.baselines import LowRankEmbedding
from kdgraph.compat import sparse_parts
from kdgraph.encoder import Encoder
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss

BATCH = 1024
STEPS = 2
"""The second has gradient and state of the first beside its own vectors."""
TASKS = ("batch", "full")


def measure(name: str, num_nodes: int, task: str) -> dict[str, Any]:
    """The phases of a task, each from a base of its own.

    ``batch`` has ``keep``, the making of what is left after training, and the vectors
    of a batch; ``make``, the making of what is trained; and ``step``, with a batch.
    ``full`` has ``step`` with all nodes. What does not fit is a result.
    """
    method, phases = METHODS[name], _Phases(num_nodes)
    if task == "full":
        phases("step", lambda: _train(method, num_nodes, None, phases))
    else:
        phases("keep", lambda: _keep(method, num_nodes, phases))
        phases("make", lambda: _made(method.encoder(num_nodes)))
        phases("step", lambda: _train(method, num_nodes, phases.n_id, phases))
    return {"status": "ok", "reset": phases.reset, "phases": phases.found}


class _Phases:
    """What was measured so far, phase by phase."""

    def __init__(self, num_nodes: int) -> None:
        torch.manual_seed(0)
        self.n_id = torch.randint(num_nodes, (BATCH,))
        self.found: dict[str, dict[str, Any]] = {}
        self.reset = True
        _warm_up(self.n_id % BATCH)

    def __call__(self, name: str, run: Callable[[], dict[str, Any]]) -> None:
        """Run a phase, and note its base, its peak and how it ended."""
        base = self.rebase()
        try:
            told = {"status": "ok"} | run()
        except (MemoryError, RuntimeError) as error:
            told = failure(error)
        peak = {"base_bytes": base, "peak_rss_bytes": peak_rss_bytes()}
        self.found[name] = peak | told

    def rebase(self) -> int:
        """Give back what is free, begin a new peak, and return the resident size."""
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        self.reset = reset_peak_rss() and self.reset
        return peak_rss_bytes()


def _keep(method: Method, num_nodes: int, phases: _Phases) -> dict[str, Any]:
    kept = method.kept(num_nodes)
    exporting = peak_rss_bytes()
    phases.rebase()
    with torch.no_grad():
        kept(phases.n_id)
    return {
        # Of what is there, tensor by tensor, and what the encoder says of itself.
        "counted_bytes": _bytes(*kept.stored_tensors().values()),
        "inference_bytes": kept.inference_bytes(),
        "export_peak_rss_bytes": exporting,
    }


def _made(encoder: Encoder) -> dict[str, Any]:
    return {"counted_bytes": _bytes(*encoder.parameters(), *encoder.buffers())}


def _train(
    method: Method, num_nodes: int, n_id: Tensor | None, phases: _Phases
) -> dict[str, Any]:
    all_nodes = n_id is None
    encoder = method.encoder(num_nodes, all_nodes=all_nodes).train()
    model = NodeClassifier(encoder, nn.Linear(DIM, 1))
    optimizers = Optimizers(method.config_of(all_nodes=all_nodes), model)
    # What making took beside is that phase's.
    phases.rebase()
    for _ in range(STEPS):
        optimizers.zero_grad()
        encoding = encoder.encode(n_id)
        loss = model.gnn(encoding.x).square().mean() + encoding.penalty
        loss.backward()
        del encoding, loss
        optimizers.step()
    gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
    sparse = [gradient for gradient in gradients if gradient.is_sparse]
    dense = [gradient for gradient in gradients if not gradient.is_sparse]
    return {
        "weight_bytes": _bytes(*encoder.parameters(), *encoder.buffers()),
        "gradient_bytes": _bytes(*dense),
        "sparse_gradient_bytes": _bytes(
            *(part for one in sparse for part in sparse_parts(one))
        ),
        # What those gradients would take as tables.
        "sparse_rows_bytes": sum(4 * one.numel() for one in sparse),
        "state_bytes": sum(
            _state_bytes(one, list(encoder.parameters())) for one in optimizers.each
        ),
        "largest_bytes": max((_bytes(p) for p in encoder.parameters()), default=0),
        "training_bytes": encoder.training_bytes("adam"),
    }


def _state_bytes(optimizer: Optimizer, parameters: list[nn.Parameter]) -> int:
    """Of the moments; counters of steps are left out, as in every count."""
    return sum(
        _bytes(*(one for key, one in optimizer.state[p].items() if key != "step"))
        for p in parameters
        if p in optimizer.state
    )


def _bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _warm_up(n_id: Tensor) -> None:
    """Have everything loaded that a first step loads."""
    config = METHODS["lowrank"].config
    for sparse in (True, False):
        encoder = LowRankEmbedding(BATCH, DIM, 4, sparse=sparse)
        model = NodeClassifier(encoder, nn.Linear(DIM, 1))
        optimizers = Optimizers(config, model)
        model.gnn(encoder(n_id)).square().mean().backward()
        optimizers.step()


def main() -> int:
    """Measure, and say how it ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("nodes", type=int)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("written", type=Path)
    parser.add_argument("--memory", type=int, help="bytes it may take")
    arguments = parser.parse_args()
    leave_result(
        lambda: measure(arguments.method, arguments.nodes, arguments.task),
        arguments.written,
        arguments.memory,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
