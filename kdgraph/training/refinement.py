"""Refinement: validation decides whether a re-assignment of codes is kept."""

from typing import Any

from kdgraph.coders import RefinedCoder
from kdgraph.embedding import KDEmbedding
from kdgraph.training.classifier import NodeClassifier


class Refinement:
    """Watch the re-assignments of a :class:`kdgraph.coders.RefinedCoder`.

    When validation has not improved by the time the next one would be due, codes,
    codebooks and network go back to the best epoch, and codes stay from then on. The
    best epoch is kept anyway, so that this adds nothing per node.

    Args:
        model: The model; nothing is done for other coders.
    """

    def __init__(self, model: NodeClassifier) -> None:
        self.model = model
        encoder = model.encoder
        coder = encoder.coder if isinstance(encoder, KDEmbedding) else None
        self.coder = coder if isinstance(coder, RefinedCoder) else None
        self.mark: tuple[int, float] | None = None
        """Epoch of the last re-assignment, and the best validation score before it."""

    def before_step(self, epoch: int, best_valid: float) -> None:
        """Take note of where validation stands before codes are re-assigned."""
        if self.coder is not None and self.coder.armed:
            self.mark = epoch, best_valid

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
        if coder is None or self.mark is None or epoch - self.mark[0] < coder.every:
            return False
        (_, before), self.mark = self.mark, None
        if best_valid > before:
            return False
        coder.restore(best["packed"])
        if isinstance(encoder, KDEmbedding):
            encoder.composer.load_state_dict(best["trained"])
        self.model.gnn.load_state_dict(best["gnn"])
        coder.halt()
        return True
