"""Int8Embedding: a table that is trained in 8 bits."""

import math
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from kdgraph.baselines.budget import check_budget
from kdgraph.encoder import Encoder, Encoding
from kdgraph.ops import at_least_float32
from kdgraph.ops.by_node import sum_by_node
from kdgraph.ops.straight_through import row_chunks

LARGEST = 127


class Int8Embedding(Encoder):
    r"""A table of 8-bit integers, trained with stochastic rounding.

    "Adaptive Low-Precision Training for Embeddings in Click-Through Rate Prediction"
    (Li et al., AAAI 2023): :math:`e_v = \Delta_v q_v` with :math:`q_v \in \{-127 ..
    127\}^C`, and no copy in floats. The backward pass moves the rows of its batch at
    once, by row-wise Adagrad as FBGEMM has it,

    .. math::
        a_v \leftarrow a_v + \overline{g_v^2}, \quad
        w_v = \Delta_v q_v - \eta \, g_v / (\sqrt{a_v} + 10^{-8}), \quad
        q_v = \lfloor w_v / \Delta_v + u \rfloor, \; u \sim U[0, 1),

    so that the expectation of :math:`\Delta_v q_v` is :math:`w_v`, and steps below
    :math:`\Delta_v` are not lost. A node that occurs several times in a batch moves
    once, by the sum of its gradients. The authors learn :math:`\Delta_v` in a second
    pass of every batch; here it is the smallest power of two with :math:`\max_c
    |w_{vc}| \le 127 \Delta_v`. That needs no second pass, no row outgrows it, and a row
    keeps it for long, so that what does not move is not rounded again.

    A node takes C + 1 bytes, and 4 more for :math:`a_v` while it is trained:
    ``training_bytes`` is N (C + 5) with any optimizer, as there is no parameter and so
    neither a gradient nor a state of one. Beside the vectors and their gradient, which
    every encoder has, a step takes blocks of 16 MiB, and where ids repeat their sums.
    A batch of ids waits for the device once in its backward pass.

    Rows move in training mode only. A second backward pass through the same vectors
    moves nothing; ``requires_grad_(False)`` stops all.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        lr: :math:`\eta`. (default: ``0.05``)
        weight_decay: Times a row is added to its gradient. (default: ``0.0``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or an option out of range.

    Example:
        >>> encoder = Int8Embedding(1000, 64)
        >>> encoder.inference_bytes(), encoder.training_bytes("adam")
        (65000, 69000)
        >>> before = encoder().detach().clone()
        >>> encoder(torch.tensor([3, 5])).sum().backward()
        >>> (encoder() != before).any(dim=1).nonzero().flatten()
        tensor([3, 5])
    """

    values: Tensor
    exponents: Tensor
    sums: Tensor

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        lr: float = 0.05,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        if not lr > 0 or not weight_decay >= 0:
            raise ValueError(
                "Int8Embedding expects lr above 0 and weight_decay of at least 0, got "
                f"lr={lr} and weight_decay={weight_decay}"
            )
        self.lr = lr
        self.weight_decay = weight_decay
        self.learns = True
        sizes = (self.num_nodes, self.embedding_dim)
        self.register_buffer("values", torch.zeros(sizes, dtype=torch.int8))
        self.register_buffer("exponents", torch.zeros(sizes[0], dtype=torch.int8))
        self.register_buffer("sums", torch.zeros(sizes[0]))
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        lr: float = 0.05,
        weight_decay: float = 0.0,
    ) -> Self:
        """The only one there is, if it takes at most ``max_bytes``.

        Raises:
            ValueError: It takes more.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="Int8Embedding")
        needed = num_nodes * (embedding_dim + 1)
        if needed > max_bytes:
            raise ValueError(
                f"Int8Embedding does not fit max_bytes={max_bytes}: it takes {needed} "
                "bytes; allow more"
            )
        return cls(num_nodes, embedding_dim, lr=lr, weight_decay=weight_decay)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the table anew as that of ``FullEmbedding``, and forget the sums."""
        self.sums.zero_()
        if self.values.is_meta:
            return
        limit = math.sqrt(6.0 / (self.num_nodes + self.embedding_dim))
        for part in row_chunks(self.num_nodes, self.embedding_dim):
            rows = torch.empty(self.values[part].shape, device=self.values.device)
            self._keep(part, rows.uniform_(-limit, limit))

    @override
    def stored_tensors(self) -> dict[str, Tensor]:
        """Integers and steps; the sums are for training only."""
        return {"values": self.values, "exponents": self.exponents}

    @override
    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let rows move with the next gradients, or no more."""
        self.learns = requires_grad
        return super().requires_grad_(requires_grad)

    @torch.no_grad()
    def move(self, n_id: Tensor | None, gradient: Tensor) -> None:
        """Take a step with some nodes, all others staying as they are.

        Args:
            n_id: The nodes ``[B]``, or ``None`` for all.
            gradient: Of their vectors, ``[B, C]``.
        """
        if n_id is not None:
            n_id, gradient = sum_by_node(n_id, gradient)
        for part in row_chunks(gradient.size(0), self.embedding_dim):
            rows = part if n_id is None else n_id[part]
            weight = _restored(self.values[rows], self.exponents[rows], self.sums)
            slope = gradient[part].to(weight.dtype)
            if self.weight_decay:
                slope = slope + self.weight_decay * weight
            sums = self.sums[rows] + slope.square().mean(dim=1).to(self.sums.dtype)
            self.sums[rows] = sums
            rate = self.lr / (sums.to(weight.dtype).sqrt() + 1e-8)
            self._keep(rows, weight - rate.unsqueeze(1) * slope)

    def _keep(self, rows: slice | Tensor, weight: Tensor) -> None:
        """Round rows, up or down at random."""
        mantissa, exponent = torch.frexp(weight.abs().amax(dim=1).float() / LARGEST)
        # Mantissas lie in [0.5, 1): of a power of two it is 0.5.
        exponent = (exponent - (mantissa == 0.5).int()).clamp(-126, 127)
        ratio = weight / _powers(exponent).unsqueeze(1)
        rounded = (ratio + torch.rand_like(ratio)).floor().clamp(-LARGEST, LARGEST)
        self.values[rows] = rounded.to(torch.int8)
        self.exponents[rows] = exponent.to(torch.int8)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        values, exponents = self.values, self.exponents
        if n_id is not None:
            values = functional.embedding(n_id, values)
            exponents = functional.embedding(n_id, exponents.unsqueeze(1)).squeeze(1)
        x = _restored(values, exponents, self.sums).to(self.sums.dtype)
        if self.training and self.learns and torch.is_grad_enabled():
            x.requires_grad_()

            def move(gradient: Tensor) -> None:
                hook.remove()
                self.move(n_id, gradient)

            hook = x.register_hook(move)  # type: ignore[no-untyped-call]
        return Encoding(x, torch.zeros_like(self.sums[0]))

    def extra_repr(self) -> str:
        """Sizes and how rows move."""
        decay = f", weight_decay={self.weight_decay}" if self.weight_decay else ""
        return f"{super().extra_repr()}, lr={self.lr}{decay}"


def _powers(exponents: Tensor) -> Tensor:
    """Two to the power of exponents, exact, from their bits."""
    return ((exponents.int() + 127) << 23).view(torch.float32)


def _restored(values: Tensor, exponents: Tensor, like: Tensor) -> Tensor:
    dtype = at_least_float32(like).dtype
    return values.to(dtype) * _powers(exponents).to(dtype).unsqueeze(1)
