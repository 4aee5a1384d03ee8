"""ConcatComposer: the product composition."""

from torch import Tensor

from kdgraph.composers.linear import LinearComposer
from kdgraph.ops import Codebooks, Selection


class ConcatComposer(LinearComposer):
    r"""Put the codewords side by side.

    .. math:: e_v = W [C_1[k_{v,1}], ..., C_D[k_{v,D}]] + b

    The product composition of DPQ (Chen, Li, Sun, ICML 2020, section 2), and of product
    quantisation before it (Jegou et al., TPAMI 2011). Without ``code_dim`` there is no
    W and no b, and each codeword is :math:`C / D` wide.

    Args:
        code_dim: Width of a codeword d; the D of them are projected to
            ``embedding_dim``. (default: ``embedding_dim / D``, no projection)
        shared: One codebook for all positions. (default: ``False``)
        norm: ``"batch"``, ``"layer"`` or ``None``. (default: ``None``)
        null_code: Whether choice 0 of every position stands for zero and stays so; see
            :class:`Composer`. (default: ``True``)
        storage: What codebooks and linear maps are rounded to, while training as when
            stored: ``"bfloat16"``, ``"int8"`` or ``None``; see :class:`Composer`.
            (default: ``None``)
        trees: For each position ``None``, or the branching ``(b_1, ..., b_L)`` of the
            hierarchy whose leaves are its choices: it is trained as a sum over levels
            and stored as one codebook; see :class:`LinearComposer`. (default: ``None``)

    Shapes:
        - **input:** codes ``[*, D]``
        - **output:** vectors ``[*, C]``

    Raises:
        ValueError: An option out of range, or no ``code_dim`` where D does not divide
            ``embedding_dim``.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(
        ...     10, 8, num_codebooks=4, codebook_size=3, composer=ConcatComposer()
        ... )
        >>> first = encoder.composer.weight[encoder.codes()[:, 0]]
        >>> bool((encoder()[:, :2] == first).all())
        True
    """

    def _default_width(self) -> int:
        positions = len(self.codebook_sizes)
        if self.embedding_dim % positions:
            raise ValueError(
                f"ConcatComposer splits embedding_dim over the codebooks, but "
                f"{self.embedding_dim} is not a multiple of num_codebooks={positions}; "
                "choose sizes that divide, or project with ConcatComposer(code_dim=...)"
            )
        return self.embedding_dim // positions

    def _placed_width(self) -> int:
        return len(self.codebook_sizes) * self.width

    def _before_projection(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        return selection.gather(codebooks).flatten(1)

    def _placed_codewords(self) -> Tensor:
        rows = self._own_rows()
        placed = rows.new_zeros(rows.size(0), self._placed_width())
        start = 0
        for position, size in enumerate(self.codebook_sizes):
            column = position * self.width
            end = start + size
            placed[start:end, column : column + self.width] = rows[start:end]
            start = end
        return placed
