"""What a coder hands a composer: the codes it chose, and how gradients reach it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from kdgraph.compat import apply
from kdgraph.ops.arguments import HasPackedCodes
from kdgraph.ops.choices import QueryStraightThrough
from kdgraph.ops.codebooks import Codebooks
from kdgraph.ops.dropped import drop_codes, with_zero_codewords
from kdgraph.ops.echo import QueryEcho, ScaledEcho
from kdgraph.ops.lookup import lookup, lookup_sum
from kdgraph.ops.node_random import node_bytes
from kdgraph.ops.straight_through import LogitStraightThrough, query_logits

Readable = tuple[Tensor | HasPackedCodes, Codebooks]
"""Codes, as integers or packed, and the codebooks they address."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Hard codes: gradients reach the codebooks and nothing else.

    Args:
        codes: ``[B, D]``, column ``j`` in ``[0, K_j)``.
        scale: Weights ``[B, D]`` of the positions (code dropout), or ``None``.
        dropped: With which probability weights are 0, and else
            :math:`1 / (1 - p)`; 0 where weights are others.
    """

    codes: Tensor
    scale: Tensor | None = None
    dropped: float = field(default=0.0, kw_only=True)
    learned: ClassVar[bool] = False
    """Whether gradients of code vectors reach more than the codebooks."""
    hard: ClassVar[bool] = True
    """Whether code vectors are those of the codes."""

    def gather(self, codebooks: Codebooks) -> Tensor:
        """The code vectors ``[B, D, d]``."""
        vectors = lookup(self.codes, codebooks.weight, codebooks.offsets)
        return self._scaled(self._attach(vectors, codebooks, None))

    def sum(self, codebooks: Codebooks) -> Tensor:
        """The sum of the code vectors, ``[B, d]``, without forming them."""
        scale = None if self.scale is None else self.scale.to(codebooks.weight.dtype)
        vectors = lookup_sum(self.codes, codebooks.weight, codebooks.offsets, scale)
        return self._attach(vectors, codebooks, scale)

    def readable(self, codebooks: Codebooks) -> "Readable | None":
        """Codes and codebooks whose plain lookups are these code vectors.

        Positions that were dropped read a codeword of zeros, one more in each codebook.
        ``None`` where vectors are no lookups: those of a soft choice, or weighted.
        """
        if self.scale is None:
            return narrow_codes(self.codes, codebooks.sizes), codebooks
        if not self.dropped:
            return None
        factor = torch.ones((), dtype=self.scale.dtype) / (1.0 - self.dropped)
        codebooks = with_zero_codewords(codebooks, factor)
        codes = drop_codes(self.codes, self.scale, codebooks.sizes)
        return narrow_codes(codes, codebooks.sizes), codebooks

    def echo(self, codebooks: Codebooks, *, additive: bool) -> Tensor | None:
        """Zeros that take no memory, and send their gradient to what chose the codes.

        Args:
            codebooks: The composer's codewords.
            additive: Zeros in the place of the sum of the code vectors, ``[B, d]``,
                instead of the vectors side by side, ``[B, D d]``.

        Returns:
            Zeros, or ``None`` where nothing chose codes that learns.
        """
        rows, positions = self.codes.shape
        width = codebooks.weight.size(1)
        shape = (rows, width) if additive else (rows, positions, width)
        zeros = codebooks.weight.new_zeros(()).expand(shape)
        echo = self._echo(zeros, codebooks)
        if not echo.requires_grad:
            return None
        return echo if additive else echo.flatten(1)

    def scores(self) -> Tensor | None:
        """The logits ``[B, D, K]`` behind the choice, where there are any."""
        return None

    def probabilities(self) -> Tensor | None:
        """The relaxed choice ``[B, D, K]``, where the coder has one."""
        return None

    def drop(self, probability: float, n_id: Tensor | None = None) -> "Selection":
        """Drop whole positions with ``probability``, and scale the others up.

        Args:
            probability: Of a position of a node.
            n_id: The nodes ``[B]``: what is dropped then follows from one number of
                torch's generator and from the node. (default: ``None``)
        """
        if n_id is None:
            drawn = torch.rand_like(self.codes, dtype=torch.float32)
        else:
            seed = torch.randint(1 << 62, ()).to(n_id.device)
            words = node_bytes(n_id, 4 * self.codes.size(1), seed).contiguous()
            drawn = words.view(torch.int32).double().div_(1 << 32).add_(0.5)
        keep = drawn >= probability
        scale = keep.float() / (1.0 - probability)
        return replace(self, scale=scale, dropped=probability)

    def _scaled(self, vectors: Tensor) -> Tensor:
        """Weigh code vectors ``[B, D, d]`` by position."""
        if self.scale is None:
            return vectors
        return vectors * self.scale.unsqueeze(-1).to(vectors.dtype)

    def _attach(
        self,
        vectors: Tensor,
        codebooks: Codebooks,  # noqa: ARG002
        scale: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """Make the gradient of ``vectors`` reach what chose the codes."""
        return vectors

    def _echo(self, zeros: Tensor, codebooks: Codebooks) -> Tensor:
        if zeros.dim() == 2:
            scale = None if self.scale is None else self.scale.to(zeros.dtype)
            return self._attach(zeros, codebooks, scale)
        echo = self._attach(zeros, codebooks, None)
        if self.scale is None:
            return echo
        scaled: Tensor = apply(ScaledEcho, echo, self.scale)
        return scaled


@dataclass(frozen=True, eq=False, kw_only=True)
class LogitSelection(Selection):
    """Straight-through on free logits ``[B, D, K]`` at a temperature."""

    logits: Tensor
    temperature: Tensor
    learned: ClassVar[bool] = True

    def scores(self) -> Tensor:
        """The logits."""
        return self.logits

    def probabilities(self) -> Tensor:
        """The tempered softmax of the logits."""
        return torch.softmax(self.logits / self.temperature, dim=-1)

    def _attach(
        self, vectors: Tensor, codebooks: Codebooks, scale: Tensor | None
    ) -> Tensor:
        attached: Tensor = apply(
            LogitStraightThrough,
            vectors,
            self.logits,
            self.temperature,
            codebooks.padded().detach(),
            scale,
        )
        return attached


@dataclass(frozen=True, eq=False, kw_only=True)
class QuerySelection(Selection):
    """Straight-through on queries ``[B, D, r]`` against keys ``[D, K, r]``."""

    query: Tensor
    keys: Tensor
    bias: Tensor
    temperature: Tensor
    learned: ClassVar[bool] = True

    def scores(self) -> Tensor:
        """The logits, formed whole for these rows."""
        return query_logits(self.query, self.keys, self.bias)

    def probabilities(self) -> Tensor:
        """The tempered softmax of the logits, formed whole for these rows."""
        return torch.softmax(self.scores() / self.temperature, dim=-1)

    def _attach(
        self, vectors: Tensor, codebooks: Codebooks, scale: Tensor | None
    ) -> Tensor:
        attached: Tensor = apply(
            QueryStraightThrough,
            vectors,
            self.query,
            self.keys,
            self.bias,
            self.temperature,
            codebooks.padded().detach(),
            scale,
        )
        return attached


@dataclass(frozen=True, eq=False, kw_only=True)
class RelaxedSelection(Selection):
    """A soft choice: code vectors are averages under ``weights [B, D, K]``."""

    weights: Tensor
    learned: ClassVar[bool] = True
    hard: ClassVar[bool] = False

    def gather(self, codebooks: Codebooks) -> Tensor:
        """The averaged code vectors ``[B, D, d]``."""
        scale = 1.0 if self.scale is None else self.scale.unsqueeze(-1)
        weights = (self.weights * scale).to(codebooks.weight.dtype)
        return torch.einsum("bdk,dkc->bdc", weights, codebooks.padded())

    def sum(self, codebooks: Codebooks) -> Tensor:
        """The sum of the averaged code vectors ``[B, d]``."""
        scale = 1.0 if self.scale is None else self.scale.unsqueeze(-1)
        weights = (self.weights * scale).to(codebooks.weight.dtype)
        return torch.einsum("bdk,dkc->bc", weights, codebooks.padded())

    def readable(self, codebooks: Codebooks) -> None:  # noqa: ARG002
        """Averages are no lookups."""
        return

    def probabilities(self) -> Tensor:
        """The weights themselves."""
        return self.weights


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedSelection(Selection):
    """Vector quantisation: the gradient of a code vector is copied to its query.

    The codebooks get none from here: the coder's centroid term moves them
    (DPQ-VQ, Chen, Li, Sun, ICML 2020).

    Args:
        query: ``[B, D, d]``, or ``[B, d]`` where the codes quantise residuals of it.
    """

    query: Tensor
    learned: ClassVar[bool] = True

    def gather(self, codebooks: Codebooks) -> Tensor:
        """The nearest centroids ``[B, D, d]``."""
        vectors = lookup(self.codes, codebooks.weight.detach(), codebooks.offsets)
        return self._scaled(
            vectors + (self.query - self.query.detach()).to(vectors.dtype)
        )

    def sum(self, codebooks: Codebooks) -> Tensor:
        """The sum of the nearest centroids ``[B, d]``."""
        weight, query = codebooks.weight.detach(), self.query
        if query.dim() == 3:
            query = self._scaled(query).sum(dim=1)
        scale = None if self.scale is None else self.scale.to(weight.dtype)
        vectors = lookup_sum(self.codes, weight, codebooks.offsets, scale)
        return vectors + (query - query.detach()).to(vectors.dtype)

    def readable(self, codebooks: Codebooks) -> "Readable | None":
        """As of any hard codes, without a gradient to the codebooks."""
        return super().readable(codebooks._replace(weight=codebooks.weight.detach()))

    def _echo(self, zeros: Tensor, codebooks: Codebooks) -> Tensor:  # noqa: ARG002
        echo: Tensor = apply(QueryEcho, self.query, zeros, self.scale)
        return echo


def narrow_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Codes in the narrowest integers that hold their alphabets."""
    largest = max(sizes)
    if largest <= 1 << 8:
        return codes.to(torch.uint8)
    return codes.to(torch.int16 if largest <= 1 << 15 else torch.int32)
