"""ReadBefore: what was read off a graph and is wanted again."""

from dataclasses import dataclass, field

from torch import Tensor

from kdgraph.codes import Order
from kdgraph.training.auto import TRIED_SEEDS


@dataclass
class ReadBefore:
    """What was read off a graph and is wanted again.

    Args:
        codes: By recipe and seed; those of trials, and then of the last seed.
        vectors: Node vectors that seeds share, where they take long.
        looked: Whether it is known that there are such.
        vector_seconds: What they took.
        seconds: What the codes took, shared vectors included.
    """

    codes: dict[tuple[str, int], Order] = field(default_factory=dict)
    vectors: Tensor | None = None
    looked: bool = False
    vector_seconds: float = 0.0
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)

    def keep(self, recipe: str, seed: int, order: Order, seconds: float) -> None:
        """Have the codes of a seed, and only those of trials beside them."""
        if seed >= TRIED_SEEDS:
            self.codes.clear()
        self.codes[recipe, seed], self.seconds[recipe, seed] = order, seconds
