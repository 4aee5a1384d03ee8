"""TensorTrainEmbedding: a table that is a product of three small cores."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.composers.factors import covering_factors
from kdgraph.encoder import Encoder, Encoding, positive_int


class TensorTrainEmbedding(Encoder):
    r"""A table in tensor-train form, without a number of its own for any node.

    From "Nimble GNN Embedding with Tensor-Train Decomposition" (Yin et al., KDD 2022,
    section 3): with digits :math:`v = (v_1 p_2 + v_2) p_3 + v_3` of a node and
    :math:`C = q_1 q_2 q_3`,

    .. math:: e_v[c_1, c_2, c_3] = G_1[v_1, c_1] \, G_2[v_2, c_2] \, G_3[v_3, c_3],

    a row of r numbers times a matrix of r by r times a column of r. Cores start
    orthogonal, as its authors have them, scaled so that the entries of the product have
    Glorot's variance.

    Nodes that are near each other in the order share digits. So the graph enters by the
    order alone: with nodes renumbered by a hierarchical METIS partition into
    :math:`p_1` clusters of :math:`p_2` clusters, the first two digits tell where a node
    is. An order of the nodes takes no bytes.

    All nodes take two matrix products, a batch one more small one for each node; there
    is nothing of size N beside the vectors.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        rank: Rank r of both contractions.
        num_rows: :math:`(p_1, p_2, p_3)`, their product at least N. (default: as equal
            as fits, for ogbn-arxiv 55, 55, 56)
        num_columns: :math:`(q_1, q_2, q_3)`, their product C. (default: as equal as
            divides, for 128 channels 8, 4, 4)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or factors that do not fit.

    Example:
        >>> table = TensorTrainEmbedding(169_343, 128, rank=8)
        >>> table.num_rows, table.num_columns
        ((55, 55, 56), (8, 4, 4))
        >>> table.inference_bytes()  # 4 (55 x 8 x 8 + 55 x 8 x 4 x 8 + 56 x 8 x 4)
        77568
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        rank: int,
        num_rows: Sequence[int] | None = None,
        num_columns: Sequence[int] | None = None,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.rank = positive_int(rank, "rank", "TensorTrainEmbedding")
        self.num_rows = _three(num_rows or covering_factors(num_nodes, 3), "num_rows")
        self.num_columns = _three(
            num_columns or dividing_factors(embedding_dim), "num_columns"
        )
        if math.prod(self.num_rows) < self.num_nodes:
            raise ValueError(
                "TensorTrainEmbedding expects num_rows whose product is at least "
                f"num_nodes={self.num_nodes}, got {self.num_rows}"
            )
        if math.prod(self.num_columns) != self.embedding_dim:
            raise ValueError(
                "TensorTrainEmbedding expects num_columns whose product is "
                f"embedding_dim={self.embedding_dim}, got {self.num_columns}"
            )
        (p1, p2, p3), (q1, q2, q3) = self.num_rows, self.num_columns
        r = self.rank
        self.first = nn.Parameter(torch.empty(p1, q1, r))
        self.middle = nn.Parameter(torch.empty(p2, r, q2, r))
        self.last = nn.Parameter(torch.empty(p3, r, q3))
        self.reset_parameters()

    @classmethod
    def within(cls, max_bytes: int, num_nodes: int, embedding_dim: int) -> Self:
        """The one of largest rank that takes at most ``max_bytes``.

        Raises:
            ValueError: Not even rank 1 does.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="TensorTrainEmbedding")
        p, q = covering_factors(num_nodes, 3), dividing_factors(embedding_dim)

        def bytes_of(rank: int) -> int:
            ends = p[0] * q[0] + p[2] * q[2]
            return 4 * rank * (ends + p[1] * q[1] * rank)

        owner = "TensorTrainEmbedding"
        # No contraction of three cores needs more.
        most = max(p[0] * q[0], p[2] * q[2])
        rank = largest_size(bytes_of, max_bytes, owner=owner, what="rank", most=most)
        return cls(num_nodes, embedding_dim, rank=rank)

    def reset_parameters(self) -> None:
        """Draw the cores anew."""
        variance = 2.0 / (self.num_nodes + self.embedding_dim)
        # An entry sums r^2 products of one number of each core.
        each = (variance / self.rank**2) ** (1 / 3)
        for core in (self.first, self.middle, self.last):
            nn.init.orthogonal_(core.data.view(core.size(0), -1))
            with torch.no_grad():
                core.mul_(math.sqrt(each) / core.square().mean().sqrt())

    def _encode(self, n_id: Tensor | None) -> Encoding:
        (_, p2, p3), r = self.num_rows, self.rank
        # [p1, q1, r] by [r, p2 q2 r]: a block for every pair of first digits.
        middle = self.middle.permute(1, 0, 2, 3).reshape(r, -1)
        pairs = (self.first.reshape(-1, r) @ middle).view(
            self.first.size(0), self.first.size(1), p2, -1, r
        )
        pairs = pairs.transpose(1, 2).reshape(-1, self._width, r)
        if n_id is None or n_id.numel() >= self.num_nodes:
            rows = self._all(pairs)
            x = rows[: self.num_nodes] if n_id is None else rows[n_id]
        else:
            blocks = pairs[n_id // p3]
            x = (blocks @ self.last[n_id % p3]).flatten(1)
        return Encoding(x, x.new_zeros(()))

    @property
    def _width(self) -> int:
        """Columns that the first two cores tell."""
        return self.num_columns[0] * self.num_columns[1]

    def _all(self, pairs: Tensor) -> Tensor:
        """The rows of all places, ``[p1 p2 p3, C]``."""
        p3, _, q3 = self.last.shape
        last = self.last.permute(1, 0, 2).reshape(self.rank, -1)
        product = (pairs.reshape(-1, self.rank) @ last).view(-1, self._width, p3, q3)
        return product.transpose(1, 2).reshape(-1, self.embedding_dim)

    def extra_repr(self) -> str:
        """Sizes, rank and factors."""
        return (
            f"{super().extra_repr()}, rank={self.rank}, num_rows={self.num_rows}, "
            f"num_columns={self.num_columns}"
        )


def dividing_factors(size: int) -> tuple[int, int, int]:
    """Three factors of ``size``, as equal as can be, the largest first.

    Example:
        >>> dividing_factors(128), dividing_factors(7)
        ((8, 4, 4), (7, 1, 1))
    """
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    triples = [
        (size // (second * third), second, third)
        for second in divisors
        for third in divisors
        if size % (second * third) == 0 and size // (second * third) >= second >= third
    ]
    return min(triples, key=lambda triple: triple[0] - triple[2])


def _three(factors: Sequence[int], argument: str) -> tuple[int, int, int]:
    """Check that there are three positive factors.

    Raises:
        TypeError: One that is not an integer.
        ValueError: Another number of them, or one below 1.
    """
    if len(factors) != 3:
        raise ValueError(
            f"TensorTrainEmbedding expects three numbers as {argument}, got "
            f"{tuple(factors)}"
        )
    first, second, third = (
        positive_int(factor, argument, "TensorTrainEmbedding") for factor in factors
    )
    return first, second, third
