"""Refinement: validation decides whether a re-assignment of codes is kept."""

from typing import Any

import torch
from torch import nn

from kdgraph.coders import RefinedCoder
from kdgraph.embedding import KDEmbedding
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.gradient_window import GradientWindow
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.ranks import Ranks


class Refinement:
    """Watch the re-assignments of a :class:`kdgraph.coders.RefinedCoder`.

    When validation has not improved by the time the next one would be due, codes,
    codebooks, network and what the optimizer keeps for them go back to the best epoch,
    and codes stay from then on. This adds nothing per node to what is kept of the best
    epoch anyway.

    In mini-batches, gradients are summed over steps, see :class:`GradientWindow`. Of
    processes that train together each re-chooses the codes of its part of the nodes,
    and gets those of the others packed.

    Args:
        model: The model; nothing is done for other coders.
        optimizer: What trains it.
        steps: Of an epoch of mini-batches; ``None`` for a full batch.
            (default: ``None``)
        ranks: The processes that train together. (default: this one)
    """

    def __init__(
        self,
        model: NodeClassifier,
        optimizer: Optimizers,
        steps: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        encoder = model.encoder
        coder = encoder.coder if isinstance(encoder, KDEmbedding) else None
        self.coder = coder if isinstance(coder, RefinedCoder) else None
        self.ranks = ranks or Ranks()
        self.mark: tuple[int, float] | None = None
        """Epoch of the last re-assignment, and the best validation score before it."""
        self.window: GradientWindow | None = None
        if self.coder is not None and steps is not None:
            self.window = GradientWindow(
                encoder.num_nodes, encoder.embedding_dim, steps
            )
            self.coder.collect = self.window.add

    def before_step(self, epoch: int, best_valid: float, step: int = 0) -> None:
        """Take note of where validation stands before codes are re-assigned."""
        coder, window = self.coder, self.window
        if coder is None or not coder.armed:
            return
        if step == 0:
            self.mark = epoch, best_valid
        if window is not None and window.begins(step):
            window.begin((epoch - coder.start) // coder.every, step)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Re-choose the codes of the nodes that have had their turn."""
        coder, encoder, window = self.coder, self.model.encoder, self.window
        if coder is None or window is None or not isinstance(encoder, KDEmbedding):
            return
        if not coder.armed or not window.ends(step):
            return
        nodes, packed = window.nodes, coder.packed
        sums = self.ranks.total(window.sums)[: nodes.numel()]
        own = self.ranks.part(nodes.numel())
        coder.reassign(
            nodes[own].to(packed.device), sums[own].to(packed.device), encoder.composer
        )
        self.ranks.fill(packed[window.start : window.stop])

    def snapshot(self) -> dict[str, Any]:
        """What of an epoch is needed to go back to it, beside codes and network."""
        encoder = self.model.encoder
        if self.coder is None or not isinstance(encoder, KDEmbedding):
            return {}
        state = encoder.composer.state_dict()
        return {
            "trained": {
                name: one.detach().cpu().clone() for name, one in state.items()
            },
            "optimizer": self.optimizer.state_of(self._parameters()),
        }

    def due(self, epoch: int) -> bool:
        """Whether the last re-assignment has had its time after so many epochs."""
        coder, mark = self.coder, self.mark
        return coder is not None and mark is not None and epoch - mark[0] >= coder.every

    def judge(self, epoch: int, best_valid: float, best: dict[str, Any]) -> bool:
        """Take codes back if the last re-assignment had its time and did not pay.

        Args:
            epoch: Epochs done.
            best_valid: The best validation score so far.
            best: What the trainer kept of that epoch.

        Returns:
            Whether they were taken back.
        """
        coder, encoder = self.coder, self.model.encoder
        if coder is None or self.mark is None or not self.due(epoch):
            return False
        (_, before), self.mark = self.mark, None
        if best_valid > before:
            return False
        coder.restore(best["packed"])
        if isinstance(encoder, KDEmbedding):
            encoder.composer.load_state_dict(best["trained"])
        self.model.gnn.load_state_dict(best["gnn"])
        if "optimizer" in best:  # older checkpoints have none
            self.optimizer.restore(self._parameters(), best["optimizer"])
        coder.halt()
        return True

    def _parameters(self) -> list[nn.Parameter]:
        """What goes back to the best epoch."""
        encoder, gnn = self.model.encoder, self.model.gnn
        own = encoder.composer.parameters() if isinstance(encoder, KDEmbedding) else ()
        return [*own, *gnn.parameters()]

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on in the middle of an epoch."""
        state: dict[str, Any] = {"mark": self.mark}
        if self.coder is not None and self.coder.armed and self.window is not None:
            window = self.window
            state["window"] = window.sums, window.start, window.stop
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.mark = state["mark"]
        if self.window is not None and "window" in state:
            sums, self.window.start, self.window.stop = state["window"]
            self.window.sums.copy_(sums)
