"""LowRankEmbedding: a table of rank r."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.encoder import Encoder, Encoding, positive_int


class LowRankEmbedding(Encoder):
    r"""A table that is a product of two thin ones.

    :math:`E = U V` with :math:`U \in \mathbb{R}^{N \times r}` and
    :math:`V \in \mathbb{R}^{r \times C}`. Give the rank, or a budget of bytes from
    which the largest rank follows,
    :math:`r = \lfloor \mathrm{bytes} / (4 (N + C)) \rfloor`.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        rank: Rank r.
        max_bytes: Instead of a rank, the bytes both factors may take in float32.

    Raises:
        TypeError: A size that is not an integer.
        ValueError: Neither or both of ``rank`` and ``max_bytes``, a rank above
            ``min(N, C)``, or a budget below rank 1.

    Example:
        >>> LowRankEmbedding(1000, 64, max_bytes=20_000).rank
        4
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        rank: int | None = None,
        *,
        max_bytes: int | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.sparse = sparse
        if (rank is None) == (max_bytes is None):
            raise ValueError(
                "LowRankEmbedding expects either rank or max_bytes, got "
                f"rank={rank} and max_bytes={max_bytes}"
            )
        per_rank = 4 * (self.num_nodes + self.embedding_dim)
        if max_bytes is not None:
            check_budget(max_bytes, num_nodes, embedding_dim, owner="LowRankEmbedding")
            rank = largest_size(
                lambda rank: rank * per_rank,
                max_bytes,
                owner="LowRankEmbedding",
                what="rank",
                most=min(self.num_nodes, self.embedding_dim),
            )
        self.rank = positive_int(rank or 0, "rank", "LowRankEmbedding")
        if self.rank > min(self.num_nodes, self.embedding_dim):
            raise ValueError(
                "LowRankEmbedding expects rank of at most min(N, C) = "
                f"{min(self.num_nodes, self.embedding_dim)}, got {self.rank}"
            )
        self.rows = nn.Parameter(torch.empty(self.num_nodes, self.rank))
        self.columns = nn.Parameter(torch.empty(self.rank, self.embedding_dim))
        self.reset_parameters()

    @classmethod
    def within(
        cls, max_bytes: int, num_nodes: int, embedding_dim: int, *, sparse: bool = False
    ) -> Self:
        """The one of largest rank that takes at most ``max_bytes``.

        Raises:
            ValueError: Not even rank 1 does.
        """
        return cls(num_nodes, embedding_dim, max_bytes=max_bytes, sparse=sparse)

    def reset_parameters(self) -> None:
        """Draw both factors anew; their product starts with Glorot's variance."""
        nn.init.xavier_uniform_(self.rows)
        nn.init.normal_(self.columns, std=self.rank**-0.5)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        rows: Tensor = self.rows
        if n_id is not None:
            rows = functional.embedding(n_id, rows, sparse=self.sparse)
        return Encoding(rows @ self.columns, rows.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes and rank."""
        return f"{super().extra_repr()}, rank={self.rank}"
