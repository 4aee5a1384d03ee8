"""What the two linear compositions share: vectors are a product of two matrices."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from kdgraph.composers.base import Composer
from kdgraph.composers.norm import BatchNorm
from kdgraph.composers.stored_linear import StoredLinear


class LinearComposer(Composer):
    r"""A composition linear in the one-hot codes, hence a low-rank factorisation.

    With :math:`B \in \{0,1\}^{N \times \sum_j K_j}`, D ones a row, the embedding is
    :math:`E = B C`, so :math:`\mathrm{rank}(E) \le \min(N, \sum_j K_j - D + 1, C)`.
    Batch normalisation with running statistics is affine and folds into C; layer
    normalisation is not linear.
    """

    projection: nn.Module

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

    @abstractmethod
    def _placed_codewords(self) -> Tensor:
        """``[sum(K_j), W]``: each codeword where it lands before the projection."""

    def _own_rows(self) -> Tensor:
        """Codewords ``[sum(K_j), d]``, a shared codebook repeated per position."""
        rows = self.codebooks.weight
        if not self.shared:
            return rows
        parts = [rows[:size] for size in self.codebook_sizes]
        return torch.cat(parts)

    def _project(self, vectors: Tensor) -> Tensor:
        projected: Tensor = self.projection(vectors)
        return projected
