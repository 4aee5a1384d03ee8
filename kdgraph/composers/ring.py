"""RingComposer: a product of small matrices, one for each position."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.composers.base import Composer
from kdgraph.composers.factors import covering_factors
from kdgraph.composers.norm import Norm
from kdgraph.ops import Codebooks, Selection, Storage

_SPREAD = 0.1
"""Standard deviation of the entries of a vector at first. With a tenth of it, weight
decay ends at zero where labels are few: a product of what shrinks falls fast.
"""
_ROWS = 1 << 12
"""Whose products of matrices are formed at once."""


class RingComposer(Composer):
    r"""Multiply a matrix for each position, and take the trace.

    .. math:: e_v[c] = \mathrm{Tr} \bigl( G_1[k_{v,1}, c_1] \, G_2[k_{v,2}, c_2] \cdots
        G_D[k_{v,D}, c_D] \bigr)

    The tensor-ring decomposition (Zhao et al., "Tensor Ring Decomposition", 2016, eq.
    2) of the vectors of all codes: a codeword is q matrices of r by r, and column c has
    the digits :math:`(c_1, \ldots, c_D)` in factors of at most q, whose product is at
    least C; what is beyond C is left out. A tensor train is a ring whose first and last
    matrices are a row and a column.

    Linear in each codebook, but not in all at once: what a position means depends on
    the others. There is no null code, as a zero in one position would silence all, and
    code dropout leaves out whole vectors. Where there are about as many rows as codes,
    the vectors of all codes are formed once, by :math:`C r^2` multiplications each, and
    looked up.

    Args:
        rank: Rows and columns r of a matrix. (default: ``8``)
        norm: ``"batch"``, ``"layer"`` or ``None``. (default: ``None``)
        storage: What codebooks are rounded to, while training as when stored:
            ``"bfloat16"``, ``"int8"`` or ``None``; see :class:`Composer`. (default:
            ``None``)

    Shapes:
        - **input:** codes ``[*, D]``
        - **output:** vectors ``[*, C]``

    Raises:
        ValueError: An option out of range.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> composer = RingComposer(rank=2)
        >>> encoder = KDEmbedding(
        ...     10, 9, num_codebooks=2, codebook_size=5, composer=composer
        ... )
        >>> composer.columns, composer.width  # 9 = 3 x 3 channels; 3 matrices of 2 x 2
        ((3, 3), 12)
        >>> first, second = composer.weight.view(2, 5, 2, 3, 2)
        >>> code = encoder.codes()[7]
        >>> matrices = first[code[0]][:, 2] @ second[code[1]][:, 0]  # channel 2 x 3 + 0
        >>> bool((encoder()[7, 6] - matrices.trace()).abs() < 1e-6)
        True
    """

    def __init__(
        self, rank: int = 8, *, norm: Norm = None, storage: Storage = None
    ) -> None:
        super().__init__(norm=norm, null_code=False, storage=storage)
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise ValueError(f"RingComposer expects rank of at least 1, got {rank!r}")
        self.rank = rank

    @property
    def columns(self) -> tuple[int, ...]:
        """Factors of the channels, one for each position."""
        self._require_bound()
        return covering_factors(self.embedding_dim, len(self.codebook_sizes))

    @override
    def reset_parameters(self) -> None:
        """Draw codebooks anew, so that entries of vectors deviate by 0.1 at first."""
        super().reset_parameters()
        positions = len(self.codebook_sizes)
        # An entry sums r^D products of one number of each position.
        variance = (_SPREAD**2 / self.rank**positions) ** (1 / positions)
        with torch.no_grad():
            self.weight.normal_(std=math.sqrt(variance))

    def _default_width(self) -> int:
        return max(self.columns) * self.rank**2

    def _build(self, width: int) -> None:
        """Nothing follows the codebooks."""

    def _combine(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        books = codebooks
        if selection.learned:
            traces = self._traces(selection.gather(books))
            if self.training:
                return traces
            # What is exported reads codes alone; it gives these vectors bit for bit.
            exact = self._by_code(selection.codes, books).detach()
            return exact + (traces - traces.detach())
        x = self._by_code(selection.codes, books)
        if selection.scale is not None:
            # Linear in each position: what weighs a codeword weighs the vector.
            x = x * selection.scale.prod(dim=1, keepdim=True).to(x.dtype)
        return x

    def _by_code(self, codes: Tensor, books: Codebooks) -> Tensor:
        """Vectors of codes that were given."""
        if torch.compiler.is_compiling():
            # Which has no number of rows to decide by.
            return self._traces(Selection(codes).gather(books))
        if math.prod(self.codebook_sizes) <= 2 * codes.size(0):
            return nn.functional.embedding(self._places(codes), self._every(books))
        parts = torch.split(codes, _ROWS)
        return torch.cat([self._traces(Selection(p).gather(books)) for p in parts])

    def _places(self, codes: Tensor) -> Tensor:
        """Which of all codes each is, the last position turning fastest."""
        place = codes[:, 0].long()
        for position, size in enumerate(self.codebook_sizes[1:], 1):
            place = place * size + codes[:, position]
        return place

    def _every(self, books: Codebooks) -> Tensor:
        """The vectors of all codes, ``[prod(K_j), C]``."""
        cores = [
            self._matrices(rows, position)
            for position, rows in enumerate(
                torch.split(books.weight, list(self.codebook_sizes))
            )
        ]
        product = cores[0].transpose(1, 2)
        for core in cores[1:-1]:
            product = torch.einsum("kcab,lbde->klcdae", product, core)
            product = product.flatten(2, 3).flatten(0, 1)
        if len(cores) == 1:
            return self._cut(product.diagonal(dim1=2, dim2=3).sum(-1))
        last = cores[-1]
        vectors = torch.einsum("kcab,lbda->klcd", product, last)
        return self._cut(vectors.flatten(2).flatten(0, 1))

    def _traces(self, vectors: Tensor) -> Tensor:
        """From the codewords ``[B, D, q r^2]`` of each row to its vector."""
        cores = [self._matrices(v, j) for j, v in enumerate(vectors.unbind(dim=1))]
        product = cores[0].transpose(1, 2)
        for core in cores[1:-1]:
            product = torch.einsum("kcab,kbde->kcdae", product, core).flatten(1, 2)
        if len(cores) == 1:
            return self._cut(product.diagonal(dim1=2, dim2=3).sum(-1))
        traces = torch.einsum("kcab,kbda->kcd", product, cores[-1])
        return self._cut(traces.flatten(1))

    def _matrices(self, rows: Tensor, position: int) -> Tensor:
        """Codewords of a position as matrices, ``[K, r, q, r]``."""
        # Not -1, which no view can guess for an empty batch.
        columns = rows.size(1) // self.rank**2
        matrices = rows.view(rows.size(0), self.rank, columns, self.rank)
        return matrices[:, :, : self.columns[position]]

    def _cut(self, vectors: Tensor) -> Tensor:
        return vectors[:, : self.embedding_dim]
