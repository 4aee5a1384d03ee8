"""KDEmbedding: a coder and a composer in the place of an embedding table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.coded import CodedEncoder
from kdgraph.coded_features import CodedFeatures
from kdgraph.coders import CODERS, Coder, FixedCoder
from kdgraph.codes import Prefix, expand_sizes
from kdgraph.composers import COMPOSERS, Composer
from kdgraph.encoder import Encoding, Output
from kdgraph.ops import FEWEST_IDS, distinct, inverse_order, repeat
from kdgraph.packed import PackedEmbedding
from kdgraph.resolver import resolve


class KDEmbedding(CodedEncoder):
    r"""Learned discrete codes in the place of an embedding table.

    From "Learning K-way D-dimensional Discrete Codes for Compact Embedding
    Representations" (Chen, Min, Sun, ICML 2018): node v has a code
    :math:`k_v = \phi(v) \in \prod_j \{0, \ldots, K_j - 1\}` and the vector
    :math:`e_v = f(C_1[k_{v,1}], ..., C_D[k_{v,D}])`. A drop-in for
    :class:`torch.nn.Embedding` in any PyG model: ``x = encoder(batch.n_id)``.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        num_codebooks: Number of positions D; may be left to a coder that has codes.
        codebook_size: Choices K per position, 2 to 65536, one number or D of them; may
            be left to a coder that has codes.
        coder: How codes are chosen: a name (``"softmax"``, ``"gumbel"``, ``"vq"``,
            ``"threshold"``, ``"fixed"``), a class or an instance of
            :mod:`kdgraph.coders`. (default: ``"softmax"``)
        composer: How codewords become a vector: a name (``"sum"``, ``"concat"``,
            ``"mlp"``, ``"recurrent"``, ``"ring"``), a class or an instance of
            :mod:`kdgraph.composers`. (default: ``"concat"``)
        code_dropout: Probability with which a training step leaves out a position of a
            node; the others are scaled up. (default: ``0.0``)

    Shapes:
        - **input:** ids of any shape, or ``None`` for all nodes
        - **output:** vectors ``[*n_id.shape, C]``, or ``[N, C]``

    Raises:
        TypeError: A size that is not an integer, or an unknown kind of strategy.
        ValueError: Sizes out of range or that do not fit together.

    Example:
        >>> import torch
        >>> encoder = KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32)
        >>> encoder(torch.tensor([0, 999])).shape
        torch.Size([2, 64])
        >>> encoder.inference_bytes()  # 1000 x 10 bytes of codes, 16 x 32 x 4 floats
        18192
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_codebooks: int | None = None,
        codebook_size: int | Sequence[int] | None = None,
        coder: str | type[Coder] | Coder = "softmax",
        composer: str | type[Composer] | Composer = "concat",
        code_dropout: float = 0.0,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        if not 0.0 <= code_dropout < 1.0:
            raise ValueError(
                f"KDEmbedding expects code_dropout in [0, 1), got {code_dropout}"
            )
        self.code_dropout = code_dropout
        self.coder = resolve(coder, Coder, CODERS)
        self.composer = resolve(composer, Composer, COMPOSERS)
        sizes = self._sizes(num_codebooks, codebook_size)
        self.composer.bind(sizes, self.embedding_dim)
        self.coder.bind(self.num_nodes, sizes, self.composer)

    @property
    @override
    def prefix(self) -> Prefix | None:
        """The prefix of codes that were given with one."""
        return self.coder.prefix if isinstance(self.coder, FixedCoder) else None

    def reset_parameters(self) -> None:
        """Draw codes and codebooks anew."""
        self.composer.reset_parameters()
        self.coder.reset_parameters()

    @override
    def after_epoch(self, epoch: int) -> None:
        """Let the coder count the epoch."""
        self.coder.after_epoch(epoch, self.composer)

    @override
    def expect_epochs(self) -> None:
        self.coder.expect_epochs()

    def export(self, order: Tensor | np.ndarray | None = None) -> PackedEmbedding:
        r"""Freeze to packed codes and a copy of the composer: the same vectors.

        Args:
            order: For an encoder of nodes that were put in another order, such as a
                partition's, the original id of each, ``[N]``. What is exported then
                takes original ids, at no bytes but for codes that the order implies:
                those then come with a map of :math:`\lceil \log_2 N \rceil` bits a
                node. (default: ``None``)

        Raises:
            TypeError: An order that is not of integers.
            ValueError: Not an order of the nodes.
        """
        table = self.code_table()
        if order is not None:
            table = table.reordered(inverse_order(torch.as_tensor(order)))
        return PackedEmbedding(table, self.composer)

    @override
    def forward(self, n_id: Tensor | None = None, *, output: Output = "vectors") -> Any:
        # Evaluation stays as it is: how a product is summed may depend on its rows, and
        # vectors of a batch are those of its codes, bit for bit.
        if output != "vectors" or not self.training or torch.compiler.is_compiling():
            return super().forward(n_id, output=output)
        if not isinstance(n_id, Tensor) or n_id.numel() < FEWEST_IDS:
            return super().forward(n_id, output=output)
        if not self.coder.by_node or self.composer.norm == "batch":
            return super().forward(n_id, output=output)
        self._check_ids(n_id)
        found = distinct(n_id.reshape(-1).long())
        if found is None:
            return super().forward(n_id, output=output)
        self._begin_step(n_id)
        ids, places = found
        x = repeat(self._compose(ids).x, places)
        return x.reshape(*n_id.shape, self.embedding_dim)

    def _begin_step(self, n_id: Tensor | None) -> None:
        """Let the coder count the rows of a training step."""
        if self.training and torch.is_grad_enabled():
            rows = self.num_nodes if n_id is None else n_id.numel()
            self.coder.begin_step(rows, self.composer)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        self._begin_step(n_id)
        return self._compose(n_id)

    def _compose(self, n_id: Tensor | None) -> Encoding:
        codebooks = self.composer.codebooks
        selection = self.coder(n_id, codebooks)
        penalty = self.coder.penalty(selection, codebooks)
        if self.training and self.code_dropout > 0:
            selection = selection.drop(self.code_dropout, n_id)
        x = self.composer(selection, codebooks)
        if self.training:
            self.coder.watch(n_id, x, self.composer)
        return Encoding(x, penalty, selection)

    @override
    def _coded(self, n_id: Tensor | None) -> CodedFeatures:
        self._begin_step(n_id)
        if self.training and self.coder.watching:
            encoding = self._compose(n_id)
            selection = encoding.selection
            if selection is None:  # never: it is what _encode composes
                raise RuntimeError("KDEmbedding encoded nodes without codes")
            return CodedFeatures(
                self.composer, selection, encoding.penalty, x=encoding.x
            )
        codebooks = self.composer.codebooks
        selection = self.coder.coded(n_id, codebooks)
        penalty = self.coder.penalty(selection, codebooks)
        if not self.training:
            penalty = penalty.detach()
        elif self.code_dropout > 0:
            selection = selection.drop(self.code_dropout, n_id)
        return CodedFeatures(self.composer, selection, penalty, codebooks=codebooks)

    def _read_codes(self, n_id: Tensor | None) -> Tensor:
        codes: Tensor = self.coder(n_id, self.composer.codebooks).codes
        return codes

    @override
    def _row_elements(self) -> int:
        return self.coder.row_elements

    def _sizes(
        self, num_codebooks: int | None, codebook_size: int | Sequence[int] | None
    ) -> tuple[int, ...]:
        """The alphabets, from the arguments or from codes that were given."""
        table = self.coder.table if isinstance(self.coder, FixedCoder) else None
        if table is not None:
            if num_codebooks is None:
                num_codebooks = table.num_codebooks
            if codebook_size is None:
                codebook_size = table.codebook_sizes
        elif isinstance(codebook_size, Sequence) and num_codebooks is None:
            num_codebooks = len(codebook_size)
        if num_codebooks is None or codebook_size is None:
            raise ValueError(
                "KDEmbedding expects num_codebooks and codebook_size; only a "
                "FixedCoder that was given codes can tell them"
            )
        return expand_sizes(num_codebooks, codebook_size)

    def extra_repr(self) -> str:
        """Sizes, coder and composer, as the constructor takes them."""
        dropout = f", code_dropout={self.code_dropout}" if self.code_dropout else ""
        return f"{super().extra_repr()}, coder={self.coder!r}{dropout}"
