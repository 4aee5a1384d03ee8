"""What the two linear compositions share: vectors are a product of two matrices."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.composers.ancestors import Ancestors, Trees, check_trees
from kdgraph.composers.base import Composer
from kdgraph.composers.content_cache import LARGEST, ContentCache
from kdgraph.composers.linear_form import LinearForm
from kdgraph.composers.norm import BatchNorm, Norm
from kdgraph.composers.stored_linear import StoredLinear
from kdgraph.ops import Codebooks, Selection, Storage

_ANCESTORS = "ancestors."


class LinearComposer(Composer):
    r"""A composition linear in the one-hot codes, hence a low-rank factorisation.

    With :math:`B \in \{0,1\}^{N \times \sum_j K_j}`, D ones a row, the embedding is
    :math:`E = B C`, so :math:`\mathrm{rank}(E) \le \min(N, \sum_j K_j - D + 1, C)`.
    Batch normalisation with running statistics is affine and folds into C; layer
    normalisation is not linear.

    Positions may be ``trees``: their choices are the leaves of a hierarchy, and their
    codewords are trained as sums over it, see
    :class:`kdgraph.composers.ancestors.Ancestors`. Everything else sees the sums: what
    is looked up, rounded, stored and counted. Freezing and loading leave a composer
    with ordinary codebooks.

    Args:
        code_dim: See :class:`Composer`, as for those that follow.
        shared: One codebook for all positions, which then are no trees.
        norm: Normalisation of the vectors.
        null_code: Whether choice 0 stands for zero. Leaf 0 is a cluster like any other,
            so trees need ``False``.
        storage: What weights are rounded to.
        trees: For each position the branching ``(b_1, ..., b_L)`` of its hierarchy,
            :math:`b_1 \cdots b_L = K_j`, the child on the last level turning fastest;
            or ``None`` for an ordinary codebook.

    Raises:
        TypeError: Trees that are not integers, position by position.
        ValueError: An option out of range, or trees with ``shared`` or ``null_code``.
    """

    projection: nn.Module
    ancestors: Ancestors | None

    def __init__(
        self,
        code_dim: int | None = None,
        *,
        shared: bool = False,
        norm: Norm = None,
        null_code: bool = True,
        storage: Storage = None,
        trees: Trees | None = None,
    ) -> None:
        super().__init__(
            code_dim, shared=shared, norm=norm, null_code=null_code, storage=storage
        )
        name = type(self).__name__
        if trees is not None and (shared or null_code):
            raise ValueError(
                f"{name} expects shared=False and null_code=False with trees, got "
                f"shared={shared} and null_code={null_code}; leaf 0 is a cluster, not "
                "a null code"
            )
        self.trees = None if trees is None else check_trees(trees, name)
        self.ancestors = None
        self._folds: ContentCache[tuple[Codebooks, Tensor]] = ContentCache()

    @property
    @override
    def stored_config(self) -> dict[str, Any]:
        return {name: value for name, value in self.config.items() if name != "trees"}

    @override
    @torch.no_grad()
    def set_codewords(self, rows: Tensor, codewords: Tensor) -> None:
        own = codewords
        if self.ancestors is not None:
            above = self.ancestors(torch.zeros_like(self.weight))
            own = codewords - above[rows]
        super().set_codewords(rows, own)

    @override
    @torch.no_grad()
    def freeze(self) -> Self:
        if self.ancestors is not None:
            self.weight.copy_(self._codewords())
        self._fell_trees()
        return super().freeze()

    @override
    def stored_tensors(self) -> dict[str, Tensor]:
        tensors = super().stored_tensors()
        return {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(_ANCESTORS)
        }

    @override
    def load_stored(
        self, tensors: Mapping[str, Tensor], *, assign: bool = False
    ) -> None:
        # What was stored are the sums.
        self._fell_trees()
        super().load_stored(tensors, assign=assign)

    def basis(self) -> Tensor:
        r"""The dense factor C, ``[sum(K_j), C]``: one vector per position and choice.

        Biases are spread over the D positions, since every row of B has D ones.

        Raises:
            ValueError: A layer normalisation, which no matrix expresses.
        """
        if self.norm == "layer":
            raise ValueError(
                f"{type(self).__name__}(norm='layer') is not linear in the codes; "
                "factors exist for norm=None and norm='batch'"
            )
        positions = len(self.codebook_sizes)
        rows = self._placed_codewords()
        if isinstance(self.projection, StoredLinear):
            weight, bias = self.projection.rounded()
            rows = rows @ weight.t() + bias / positions
        if isinstance(self.output_norm, BatchNorm):
            zero = rows.new_zeros(1, rows.size(1))
            shift = self.output_norm.by_running_statistics(zero)
            gain = self.output_norm.by_running_statistics(zero + 1) - shift
            rows = rows * gain + shift / positions
        return rows

    @override
    def linear_form(self, codebooks: Codebooks) -> LinearForm | None:
        if self.norm == "layer" or (self.norm == "batch" and self.output_norm.training):
            return None
        form = LinearForm(codebooks, additive=self.additive)
        if isinstance(self.projection, StoredLinear):
            matrix, bias = self.projection.rounded()
            form = form.mapped(matrix).shifted(bias)
        if isinstance(self.output_norm, BatchNorm):
            zero = self.weight.new_zeros(1, self.embedding_dim)
            shift = self.output_norm.by_running_statistics(zero)
            gain = self.output_norm.by_running_statistics(zero + 1) - shift
            form = form.mapped(torch.diag(gain.squeeze(0))).shifted(shift.squeeze(0))
        return form

    @abstractmethod
    def _placed_width(self) -> int:
        """Width W of what the projection reads."""

    @abstractmethod
    def _placed_codewords(self) -> Tensor:
        """``[sum(K_j), W]``: each codeword where it lands before the projection."""

    def _build(self, width: int) -> None:
        if self.trees is not None:
            ancestors = Ancestors(
                self.trees, self.codebook_sizes, width, type(self).__name__
            )
            self.ancestors = ancestors if ancestors.weight.numel() else None
        self.projection = (
            nn.Identity()
            if self.code_dim is None
            else StoredLinear(self._placed_width(), self.embedding_dim, self.storage)
        )

    @override
    def _codewords(self) -> Tensor:
        rows = super()._codewords()
        return rows if self.ancestors is None else self.ancestors(rows)

    def _fell_trees(self) -> None:
        """Go on with ordinary codebooks."""
        self.trees = self.ancestors = None

    def _own_rows(self) -> Tensor:
        """Codewords ``[sum(K_j), d]``, a shared codebook repeated per position."""
        rows = self.codebooks.weight
        if not self.shared:
            return rows
        parts = [rows[:size] for size in self.codebook_sizes]
        return torch.cat(parts)

    @override
    def _sources(self) -> list[Tensor]:
        above = [] if self.ancestors is None else [self.ancestors.weight]
        return [*super()._sources(), *above]

    @abstractmethod
    def _before_projection(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        """What the projection reads, ``[B, W]``."""

    @override
    def _combine(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        if self.training or not self._should_fold() or not selection.hard:
            return self._projected(selection, codebooks)
        folded, bias = self._folded(codebooks)
        exact = Selection(selection.codes, selection.scale).sum(folded) + bias
        if not (torch.is_grad_enabled() and selection.learned):
            return exact
        projected = self._projected(selection, codebooks)
        return exact.detach() + (projected - projected.detach())

    def _projected(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        projected: Tensor = self.projection(
            self._before_projection(selection, codebooks)
        )
        return projected

    def _should_fold(self) -> bool:
        """Whether evaluation adds codewords that are projected, not what they sum to.

        Sizes alone decide, so that vectors are the same bit for bit in any batch.
        """
        if not isinstance(self.projection, StoredLinear):
            return False
        positions, rows = len(self.codebook_sizes), sum(self.codebook_sizes)
        exact = self.weight.dtype in (torch.float32, torch.float64)
        small = rows * self.embedding_dim <= LARGEST
        return exact and small and 2 * positions <= self._placed_width()

    def _folded(self, codebooks: Codebooks) -> tuple[Codebooks, Tensor]:
        """Codewords that are projected, to be summed, and the bias behind them."""
        if torch.is_grad_enabled():
            return self._fold(codebooks)
        sources = [*self._sources(), *self.projection.parameters()]
        return self._folds.get(sources, lambda: self._fold(codebooks))

    def _fold(self, codebooks: Codebooks) -> tuple[Codebooks, Tensor]:
        if not isinstance(self.projection, StoredLinear):  # never: see _should_fold
            raise RuntimeError("a composer without a projection folded it")
        matrix, bias = self.projection.rounded()
        form = LinearForm(codebooks, additive=self.additive)
        return form.mapped(matrix).folded(), bias
