"""GradientWindow: gradients of vectors summed over steps, for some nodes at a time."""

import torch
from torch import Tensor

MEMORY = 64 << 20
"""Bytes of sums that are kept."""


class GradientWindow:
    """Sums of the gradients that steps of an epoch give the vectors of nodes.

    One step of a mini-batch says little about a node. Sums over many steps for all
    nodes would be a table of floats; so nodes take turns: in one run of steps after the
    other, a range of them is summed that fits into the memory. Where there are fewer
    steps than ranges, the next epochs go on with those that had no turn.

    Args:
        num_nodes: N.
        width: Channels of a vector C.
        steps: Of an epoch.
        memory: Bytes that sums may take, and at least one node's. (default: 64 MiB)

    Example:
        >>> window = GradientWindow(4, 1, steps=2, memory=8)
        >>> window.begin(0, 0)
        >>> window.add(torch.tensor([0, 1, 3]), torch.ones(3, 1))
        >>> window.nodes.tolist(), window.sums.flatten().tolist()
        ([0, 1], [1.0, 1.0])
    """

    def __init__(
        self, num_nodes: int, width: int, steps: int, memory: int = MEMORY
    ) -> None:
        self.num_nodes = num_nodes
        self.steps = steps
        rows = min(num_nodes, max(1, memory // (4 * width)))
        self.ranges = -(-num_nodes // rows)
        self.turns = min(self.ranges, steps)
        self.sums = torch.zeros(-(-num_nodes // self.ranges), width)
        self.start, self.stop = 0, 0

    @property
    def nodes(self) -> Tensor:
        """Whose sums these are."""
        return torch.arange(self.start, self.stop)

    def begins(self, step: int) -> bool:
        """Whether a range has its turn from this step on."""
        turn = step * self.turns // self.steps
        return step == 0 or (step - 1) * self.turns // self.steps < turn

    def ends(self, step: int) -> bool:
        """Whether a range has had its turn after this step."""
        return step + 1 == self.steps or self.begins(step + 1)

    def begin(self, round_: int, step: int) -> None:
        """Start the sums of the range whose turn it is.

        Args:
            round_: How many epochs summed before.
            step: Of this epoch.
        """
        turn = round_ * self.turns + step * self.turns // self.steps
        part = turn % self.ranges
        self.start = part * self.num_nodes // self.ranges
        self.stop = (part + 1) * self.num_nodes // self.ranges
        self.sums.zero_()

    def add(self, n_id: Tensor, gradient: Tensor) -> None:
        """Add gradients ``[B, C]`` of nodes ``[B]``, those of the range."""
        n_id, gradient = n_id.to(self.sums.device), gradient.to(self.sums)
        inside = ((n_id >= self.start) & (n_id < self.stop)).nonzero().flatten()
        self.sums.index_add_(0, n_id[inside] - self.start, gradient[inside])
