"""Optimizers: Adam for what every step moves, and row by row for what a batch does."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer, SparseAdam

from kdgraph.coders.rows import Rows
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import optimizer_groups


class Optimizers:
    """One optimizer for all, or a second for the rows of nodes in a mini-batch.

    Tables of a row per node whose modules are ``sparse`` get gradients of the rows in
    the batch, and :class:`torch.optim.SparseAdam` moves only those and their state; it
    has no weight decay. The same holds for what a module names as its
    ``sparse_parameters``.

    Args:
        config: A resolved configuration.
        model: What is trained.
    """

    def __init__(self, config: TrainConfig, model: NodeClassifier) -> None:
        self.rows = list(_row_parameters(model))
        """The parameters of which a mini-batch moves rows."""
        own = {id(parameter) for parameter in self.rows}
        for module in model.modules():
            if isinstance(module, Rows) and id(module.weight) not in own:
                module.sparse = False  # every step moves what all nodes share
        groups = optimizer_groups(
            config, model.encoder, model.guidance, model.gnn, apart=self.rows
        )
        self.each: list[Optimizer] = [Adam(groups, lr=config.lr)]
        if self.rows:
            self.each.append(SparseAdam(self.rows, lr=config.lr))

    def zero_grad(self) -> None:
        """Forget gradients."""
        for one in self.each:
            one.zero_grad()

    def step(self) -> None:
        """Move everything that has a gradient."""
        for one in self.each:
            one.step()

    def state_of(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """A copy of what is kept for each of some parameters."""
        return [copy.deepcopy(self._kept(parameter)) for parameter in parameters]

    def restore(
        self, parameters: Iterable[nn.Parameter], states: list[dict[str, Any]]
    ) -> None:
        """Go back to what :meth:`state_of` gave for the same parameters."""
        for parameter, state in zip(parameters, states, strict=True):
            kept = self._kept(parameter)
            for name, value in state.items():
                kept[name].copy_(value)

    def _kept(self, parameter: nn.Parameter) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for one in self.each:
            if parameter in one.state:
                kept = one.state[parameter]
        return kept

    def state_dict(self) -> dict[str, Any]:
        """Their states, in their order."""
        return {"each": [one.state_dict() for one in self.each]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take on states.

        Raises:
            ValueError: Of another number of optimizers.
        """
        for one, its in zip(self.each, state["each"], strict=True):
            one.load_state_dict(its)


def _row_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Tables whose gradients are sparse."""
    for module in model.modules():
        if not getattr(module, "sparse", False):
            continue
        if named := getattr(module, "sparse_parameters", ()):
            # Rows that nodes share; there are less of them than nodes.
            yield from (p for p in map(module.get_parameter, named) if p.requires_grad)
            continue
        nodes = getattr(module, "num_nodes", None)
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter.size(0) == nodes:
                yield parameter
                # What follows the table has as many rows by chance, such as keys.
                break
