"""Coder: from node ids to codes."""

from abc import abstractmethod

import torch
from torch import Tensor

from kdgraph.composers import Composer
from kdgraph.ops import Codebooks, Selection
from kdgraph.strategy import Strategy


class Coder(Strategy):
    r"""A module from node ids to codes.

    A function :math:`\phi: V \to \prod_j \{0, \ldots, K_j - 1\}`. It chooses codes
    and says how gradients reach the choice; the codebooks belong to the composer and
    are only read here.
    """

    num_nodes: int
    codebook_sizes: tuple[int, ...]

    def bind(
        self, num_nodes: int, codebook_sizes: tuple[int, ...], composer: Composer
    ) -> None:
        """Create the state of ``num_nodes`` nodes. Called by the encoder, once."""
        self._claim()
        self.num_nodes = num_nodes
        self.codebook_sizes = codebook_sizes
        self._build(composer)
        self.reset_parameters()

    @property
    def row_elements(self) -> int:
        """Numbers formed at once to choose the codes of a node, a score per choice."""
        return sum(self.codebook_sizes)

    def forward(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        """Choose codes.

        Args:
            n_id: Flat ids ``[B]`` in range, or ``None`` for all nodes.
            codebooks: The composer's codewords.
        """
        self._require_bound()
        device = codebooks.weight.device.type
        if not torch.is_autocast_enabled(device):
            return self._select(n_id, codebooks)
        with torch.autocast(device_type=device, enabled=False):
            return self._select(n_id, codebooks)

    def penalty(
        self,
        selection: Selection,  # noqa: ARG002
        codebooks: Codebooks,
    ) -> Tensor:
        """The coder's own terms of the loss, a scalar; zero for most."""
        return codebooks.weight.new_zeros(())

    def watch(self, n_id: Tensor | None, x: Tensor, composer: Composer) -> None:
        """See the vectors of a training step before the loss does; most do not care.

        Args:
            n_id: Flat ids ``[B]`` in range, or ``None`` for all nodes.
            x: Their vectors ``[B, C]``, whose gradient a hook may read.
            composer: What composed them.
        """

    @property
    def by_node(self) -> bool:
        """Whether a node gets the same in any batch, without terms of the loss.

        A node that stands in a batch more than once may then be encoded once.
        """
        return not self.training

    @property
    def watching(self) -> bool:
        """Whether the next training step is one whose vectors it has to see."""
        return False

    def coded(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        """Choose codes for layers that read them; see :meth:`forward`.

        Those that are stored stay as they are stored.
        """
        selection: Selection = self(n_id, codebooks)
        return selection

    def begin_step(self, num_rows: int, composer: Composer) -> None:
        """See that a training step begins; most do not care.

        Args:
            num_rows: How many nodes it encodes.
            composer: What composes them.
        """

    def expect_epochs(self) -> None:
        """Leave the epochs to :meth:`after_epoch`, from the first step on."""

    @torch.no_grad()
    def after_epoch(self, epoch: int, composer: Composer) -> None:
        """Do what is due between epochs; nothing for most."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw the codes, or what chooses them, anew."""

    @abstractmethod
    def _build(self, composer: Composer) -> None:
        """Create parameters and buffers; ``num_nodes`` and sizes are set."""

    @abstractmethod
    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection: ...
