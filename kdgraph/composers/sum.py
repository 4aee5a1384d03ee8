"""SumComposer: the linear composition."""

from torch import Tensor

from kdgraph.composers.linear import LinearComposer
from kdgraph.ops import Codebooks, Selection


class SumComposer(LinearComposer):
    r"""Sum the codewords: :math:`e_v = W \sum_j C_j[k_{v,j}] + b`.

    The linear composition of "Learning K-way D-dimensional Discrete Codes for Compact
    Embedding Representations" (Chen, Min, Sun, ICML 2018); its code takes the mean,
    which is the same up to the scale of the codebooks. Without ``code_dim`` there is no
    W and no b, and the codewords are as wide as the vectors.

    Args:
        code_dim: Width of a codeword d. (default: ``embedding_dim``, no projection)
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
        ValueError: An option out of range.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(
        ...     10, 8, num_codebooks=4, codebook_size=3, composer=SumComposer()
        ... )
        >>> codebooks = encoder.composer.weight.view(4, 3, 8)
        >>> by_hand = sum(codebooks[j, encoder.codes()[:, j]] for j in range(4))
        >>> bool((encoder() - by_hand).abs().max() < 1e-6)
        True
    """

    additive = True

    def _default_width(self) -> int:
        return self.embedding_dim

    def _placed_width(self) -> int:
        return self.width

    def _before_projection(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        return selection.sum(codebooks)

    def _placed_codewords(self) -> Tensor:
        return self._own_rows()
