"""Bytes by formula, for sizes that no machine needs to hold."""

from __future__ import annotations

from functools import cache

from torch import nn

from benchmarks.memory.methods import DIM, METHODS
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.methods import without_memory
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.plan import PlanRow
from kdgraph.training.plan_rivals import Unfit


@cache
def planned(name: str, num_nodes: int) -> PlanRow | Unfit:
    """What ``kdgraph plan`` says of a method."""
    return METHODS[name].planned(num_nodes)


def kept_bytes(name: str, num_nodes: int) -> int | None:
    """Bytes after training; ``None`` where the smallest does not fit."""
    row = planned(name, num_nodes)
    return row.inference_bytes if isinstance(row, PlanRow) else None


@cache
def held_bytes(name: str, num_nodes: int) -> int | None:
    """Bytes while training in batches; ``None`` where the smallest does not fit.

    Those of the plan, less the gradients of tables that are moved row by row: of these
    there are only the rows of a batch, which do not grow with N and are left out.
    """
    row = planned(name, num_nodes)
    if not isinstance(row, PlanRow):
        return None
    method = METHODS[name]
    with without_memory(f"{name} of {num_nodes} nodes"):
        model = NodeClassifier(method.encoder(num_nodes), nn.Linear(DIM, 1))
        rows = Optimizers(method.config_of(all_nodes=False), model).rows
    return row.training_bytes - sum(4 * parameter.numel() for parameter in rows)
