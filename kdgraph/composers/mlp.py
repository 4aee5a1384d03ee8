"""MLPComposer: a small network after the codewords."""

from typing import Literal

from torch import Tensor, nn

from kdgraph.composers.base import Composer
from kdgraph.composers.norm import Norm
from kdgraph.composers.stored_linear import StoredLinear
from kdgraph.ops import Codebooks, Selection, Storage


class MLPComposer(Composer):
    r"""Feed the codewords to a network.

    .. math:: e_v = \mathrm{MLP}(\mathrm{pool}_j \, C_j[k_{v,j}])

    The compositions ``fnn`` (``pool="concat"``) and ``mean_fnn`` (``pool="mean"``) of
    the KD-encoding code (Chen, Min, Sun, ICML 2018): ``num_layers`` hidden layers with
    ReLU, residual from the second on, then a linear map to ``embedding_dim``.

    Args:
        code_dim: Width of a codeword d. (default: ``embedding_dim / D``, at least 4,
            for ``"concat"``; ``embedding_dim`` for ``"mean"``)
        hidden_dim: Width of the hidden layers. (default: ``embedding_dim``)
        num_layers: Hidden layers. (default: ``1``)
        pool: ``"concat"`` or ``"mean"``. (default: ``"concat"``)
        shared: One codebook for all positions. (default: ``False``)
        norm: ``"batch"``, ``"layer"`` or ``None``. (default: ``None``)
        null_code: Whether choice 0 of every position stands for zero and stays so; see
            :class:`Composer`. (default: ``True``)
        storage: What codebooks and linear maps are rounded to, while training as when
            stored: ``"bfloat16"``, ``"int8"`` or ``None``; see :class:`Composer`.
            (default: ``None``)

    Shapes:
        - **input:** codes ``[*, D]``
        - **output:** vectors ``[*, C]``

    Raises:
        ValueError: An option out of range.

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> composer = MLPComposer(num_layers=2)
        >>> encoder = KDEmbedding(
        ...     10, 8, num_codebooks=4, codebook_size=3, composer=composer
        ... )
        >>> encoder(torch.tensor([[0, 9]])).shape
        torch.Size([1, 2, 8])
    """

    def __init__(
        self,
        code_dim: int | None = None,
        *,
        hidden_dim: int | None = None,
        num_layers: int = 1,
        pool: Literal["concat", "mean"] = "concat",
        shared: bool = False,
        norm: Norm = None,
        null_code: bool = True,
        storage: Storage = None,
    ) -> None:
        super().__init__(
            code_dim, shared=shared, norm=norm, null_code=null_code, storage=storage
        )
        if pool not in ("concat", "mean"):
            raise ValueError(
                f"MLPComposer expects pool 'concat' or 'mean', got {pool!r}"
            )
        if num_layers < 1 or (hidden_dim is not None and hidden_dim < 1):
            raise ValueError(
                "MLPComposer expects num_layers and hidden_dim of at least 1, got "
                f"num_layers={num_layers} and hidden_dim={hidden_dim}"
            )
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.pool = pool

    def _default_width(self) -> int:
        if self.pool == "mean":
            return self.embedding_dim
        return max(4, self.embedding_dim // len(self.codebook_sizes))

    def _build(self, width: int) -> None:
        hidden = self.hidden_dim or self.embedding_dim
        wide = width * (len(self.codebook_sizes) if self.pool == "concat" else 1)
        self.first = StoredLinear(wide, hidden, self.storage)
        self.residual = nn.ModuleList(
            StoredLinear(hidden, hidden, self.storage)
            for _ in range(self.num_layers - 1)
        )
        self.last = StoredLinear(hidden, self.embedding_dim, self.storage)

    def _combine(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        if self.pool == "mean":
            vectors = selection.sum(codebooks) / len(self.codebook_sizes)
        else:
            vectors = selection.gather(codebooks).flatten(1)
        hidden = self.first(vectors).relu()
        for layer in self.residual:
            hidden = hidden + layer(hidden).relu()
        composed: Tensor = self.last(hidden)
        return composed
