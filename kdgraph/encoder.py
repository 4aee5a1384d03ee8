"""Encoder: the law that tables, codes, baselines and loaded artifacts share."""

import copy
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdgraph.compat import is_mapped
from kdgraph.left_out import LeftOut
from kdgraph.ops import Selection, carry, loss_carrier
from kdgraph.optimizer_state import training_bytes

Output = Literal["vectors", "encoding", "coded"]
"""What a forward pass gives: ``encoder(n_id)``, ``.encode(n_id)``, ``.coded(n_id)``."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """What encoding a batch of ids gives, for a training step.

    Args:
        x: Vectors ``[*n_id.shape, C]``.
        penalty: Scalar to add to the loss: the coder's own terms, then guidance's. The
            vectors do not carry it.
        selection: The codes behind ``x`` and their relaxation, for ids flattened;
            ``None`` for encoders without codes.
    """

    x: Tensor
    penalty: Tensor
    selection: Selection | None = None


class Encoder(nn.Module, ABC):
    """A module from node ids to vectors.

    ``encoder(n_id)`` gives ``[*n_id.shape, C]`` for integer ids of any shape,
    ``encoder()`` gives all ``[N, C]``. Full tables, low-rank tables, KD codes and
    loaded artifacts all obey it, so any one replaces any other in a model.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.

    Raises:
        ValueError: A size is not positive.
        TypeError: A size is not an integer.
    """

    num_nodes: int
    embedding_dim: int

    def __init__(self, num_nodes: int, embedding_dim: int) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_nodes = positive_int(num_nodes, "num_nodes", name)
        self.embedding_dim = positive_int(embedding_dim, "embedding_dim", name)
        self._left_out = LeftOut(name)

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw everything learned anew, from torch's global generator."""

    def stored_tensors(self) -> dict[str, Tensor]:
        """What is kept after training, by name: the state, where nothing else is said.

        An encoder whose state holds more than inference needs says so here.
        """
        return dict(self.state_dict())

    def inference_bytes(self) -> int:
        """Exact bytes kept after training, as stored in an artifact."""
        stored = self.stored_tensors().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in stored)

    def after_epoch(self, epoch: int) -> None:
        """Called by a training loop when an epoch is over, counted from 0.

        Encoders that change outside of the optimizer do it here; most do not. Where
        nobody calls it, they count N rows of training steps as an epoch.
        """

    def expect_epochs(self) -> None:
        """Leave the epochs to :meth:`after_epoch`, from the first step on."""

    @abstractmethod
    def _encode(self, n_id: Tensor | None) -> Encoding:
        """Encode flat ``int64`` ids ``[B]`` in range, or all nodes."""

    def training_bytes(self, optimizer: str | Optimizer = "adam") -> int:
        r"""Exact bytes held while training: weights, gradients, optimizer state.

        :math:`\sum_p n_p s_p (2 + m)` over parameters with :math:`n_p` elements of
        :math:`s_p` bytes, :math:`m` the state elements the optimizer keeps for each
        (Adam: 2), plus the buffers, codes included. Frozen parameters count once.

        Args:
            optimizer: A name (``"adam"``, ``"adamw"``, ``"sgd"``, ``"momentum"``,
                ``"adagrad"``, ``"rmsprop"``), or an optimizer.

        Raises:
            ValueError: An unknown optimizer.

        Example:
            >>> from kdgraph.baselines import FullEmbedding
            >>> FullEmbedding(1000, 64).training_bytes("adam") == 16 * 1000 * 64
            True
        """
        return training_bytes(self, optimizer)

    def export(self) -> "Encoder":
        """Freeze: an encoder without anything to train, that gives the same vectors."""
        return copy.deepcopy(self).requires_grad_(requires_grad=False).eval()

    def encode(self, n_id: Tensor | None = None) -> Encoding:
        """Vectors with the terms a training step adds to its loss, apart from them.

        For losses that weigh or guide these terms: add the ``penalty``. A forward pass
        as any other, so that hooks see it.

        Args:
            n_id: Integer ids of any shape, or ``None`` for all nodes.

        Raises:
            TypeError: Ids that are not integers.
            IndexError: Ids outside ``[0, N)``.
        """
        encoding: Encoding = self(n_id, output="encoding")
        return encoding

    def forward(self, n_id: Tensor | None = None, *, output: Output = "vectors") -> Any:
        """Vectors ``[*n_id.shape, C]`` of ids, or ``[N, C]`` of all nodes.

        Where an encoder has terms of the loss of its own, the vectors carry them while
        it trains: their gradient, at weight 1, is added by the backward pass of any
        loss. A loss that is scaled, as for ``torch.amp.GradScaler``, should take them
        from ``encode`` instead.

        Args:
            n_id: Integer ids of any shape, or ``None`` for all nodes.
            output: ``"encoding"`` for what ``encode`` gives.
                (default: ``"vectors"``)

        Raises:
            TypeError: Ids that are not integers.
            IndexError: Ids outside ``[0, N)``. Checked on the CPU, but not where
                ``torch.vmap`` maps over ids; on accelerators, where a check would wait
                for the device, under ``KDGRAPH_DEBUG=1``.
        """
        encoding = self._encode_any(n_id)
        if output == "encoding":
            if self.training and encoding.penalty.requires_grad:
                self._left_out.watch(encoding.x, encoding.penalty)
            return encoding
        x, penalty = encoding.x, encoding.penalty
        if self.training and penalty.requires_grad:
            x = carry(x, loss_carrier(penalty))
        return x

    def _encode_any(self, n_id: Tensor | None) -> Encoding:
        """Encode ids of any shape, or all nodes."""
        if n_id is None:
            return self._encode(None)
        self._check_ids(n_id)
        encoding = self._encode(n_id.reshape(-1).long())
        x = encoding.x.reshape(*n_id.shape, self.embedding_dim)
        return Encoding(x, encoding.penalty, encoding.selection)

    def _check_ids(self, n_id: Tensor) -> None:
        name = type(self).__name__
        if not isinstance(n_id, Tensor):
            raise TypeError(
                f"{name} expects node ids as a torch.Tensor, got {type(n_id).__name__}"
            )
        if n_id.is_floating_point() or n_id.is_complex() or n_id.dtype == torch.bool:
            raise TypeError(
                f"{name} expects integer node ids, got {n_id.dtype}; "
                "were features or a mask passed instead of batch.n_id?"
            )
        if torch.compiler.is_compiling() or n_id.numel() == 0 or is_mapped(n_id):
            return
        if n_id.device.type != "cpu" and not os.environ.get("KDGRAPH_DEBUG"):
            return
        # Not every integer type can be compared: uint64 cannot.
        lowest, highest = (int(bound) for bound in torch.aminmax(n_id.long()))
        if lowest < 0 or highest >= self.num_nodes:
            raise IndexError(
                f"{name} expects node ids in [0, {self.num_nodes}), got ids from "
                f"{lowest} to {highest}; were local ids passed instead of batch.n_id?"
            )

    def extra_repr(self) -> str:
        """What the constructor was told: the two sizes, and whatever else there is."""
        return f"{self.num_nodes}, {self.embedding_dim}"

    def __repr__(self) -> str:
        """One line, as the constructor is called."""
        return f"{type(self).__name__}({self.extra_repr()})"


def positive_int(value: int, argument: str, owner: str) -> int:
    """Check that ``value`` is an integer of at least 1.

    Raises:
        TypeError: Not an integer.
        ValueError: Below 1.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(
            f"{owner} expects {argument} as an integer, got {value!r} of type "
            f"{type(value).__name__}"
        )
    if value < 1:
        raise ValueError(f"{owner} expects {argument} of at least 1, got {value}")
    return int(value)
