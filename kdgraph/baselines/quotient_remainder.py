"""QuotientRemainderEmbedding: two small tables, one row of each per node."""

import math
from typing import ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.encoder import Encoder, Encoding, positive_int

Operation = Literal["sum", "product", "concat"]


class QuotientRemainderEmbedding(Encoder):
    r"""A row for the remainder of the id and one for its quotient, combined.

    "Compositional Embeddings Using Complementary Partitions for Memory-Efficient
    Recommendation Systems" (Shi, Mudigere, Naumov and Yang, KDD 2020, section 3):

    .. math:: e_v = R[v \bmod m] \circ Q[\lfloor v / m \rfloor],
        \qquad R \in \mathbb{R}^{m \times C}, \
        Q \in \mathbb{R}^{\lceil N / m \rceil \times C}.

    No two nodes have both rows in common. Operation :math:`\circ` is the sum, the
    elementwise product or the concatenation of two halves, of which the remainder has
    the wider one. Vectors start with the variance of a
    :class:`FullEmbedding <kdgraph.baselines.full.FullEmbedding>`.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        num_remainders: Rows of the first table m, at most N.
        operation: ``"sum"``, ``"product"`` or ``"concat"``. (default: ``"product"``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, more remainders than nodes, an unknown operation, or
            ``"concat"`` of a width of 1.

    Example:
        >>> encoder = QuotientRemainderEmbedding(1000, 64, num_remainders=90)
        >>> encoder.inference_bytes() == 4 * (90 + 12) * 64
        True
    """

    sparse_parameters: ClassVar[tuple[str, ...]] = ("remainders", "quotients")

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        num_remainders: int,
        *,
        operation: Operation = "product",
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        name = "QuotientRemainderEmbedding"
        self.num_remainders = positive_int(num_remainders, "num_remainders", name)
        if self.num_remainders > self.num_nodes:
            raise ValueError(
                f"{name} expects num_remainders of at most N = {self.num_nodes}, got "
                f"{self.num_remainders}"
            )
        _check_operation(operation, self.embedding_dim)
        self.operation = operation
        self.sparse = sparse
        first, second = _widths(operation, self.embedding_dim)
        quotients = -(-self.num_nodes // self.num_remainders)
        self.remainders = nn.Parameter(torch.empty(self.num_remainders, first))
        self.quotients = nn.Parameter(torch.empty(quotients, second))
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        operation: Operation = "product",
        sparse: bool = False,
    ) -> Self:
        r"""The one of most remainders that takes at most ``max_bytes``.

        The tables together are smallest at :math:`m = \sqrt{N}`, and grow from there.

        Raises:
            ValueError: Not even the smallest fits, or an unknown operation.
        """
        check_budget(
            max_bytes, num_nodes, embedding_dim, owner="QuotientRemainderEmbedding"
        )
        _check_operation(operation, embedding_dim)
        first, second = _widths(operation, embedding_dim)
        least = math.isqrt(num_nodes - 1) + 1

        def bytes_of(more: int) -> int:
            remainders = least + more - 1
            return 4 * (remainders * first + -(-num_nodes // remainders) * second)

        more = largest_size(
            bytes_of,
            max_bytes,
            owner="QuotientRemainderEmbedding",
            what=f"num_remainders {least}, the square root of N, as size",
            most=num_nodes - least + 1,
        )
        remainders = least + more - 1
        return cls(
            num_nodes, embedding_dim, remainders, operation=operation, sparse=sparse
        )

    def reset_parameters(self) -> None:
        """Draw both tables anew."""
        variance = 2.0 / (self.num_nodes + self.embedding_dim)
        if self.operation == "sum":
            variance /= 2.0
        elif self.operation == "product":
            variance **= 0.5
        limit = (3.0 * variance) ** 0.5
        nn.init.uniform_(self.remainders, -limit, limit)
        nn.init.uniform_(self.quotients, -limit, limit)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        sparse = self.sparse and n_id is not None
        if n_id is None:
            n_id = torch.arange(self.num_nodes, device=self.remainders.device)
        size = self.num_remainders
        first = functional.embedding(n_id % size, self.remainders, sparse=sparse)
        second = functional.embedding(n_id // size, self.quotients, sparse=sparse)
        if self.operation == "sum":
            x = first + second
        elif self.operation == "product":
            x = first * second
        else:
            x = torch.cat([first, second], dim=1)
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes, remainders and operation."""
        own = f"num_remainders={self.num_remainders}, operation={self.operation!r}"
        return f"{super().extra_repr()}, {own}"


def _check_operation(operation: str, embedding_dim: int) -> None:
    """Refuse an operation that is none, or that has too little to work on."""
    if operation not in get_args(Operation):
        raise ValueError(
            "QuotientRemainderEmbedding expects operation 'sum', 'product' or "
            f"'concat', got {operation!r}"
        )
    if operation == "concat" and embedding_dim < 2:
        raise ValueError(
            "QuotientRemainderEmbedding expects embedding_dim of at least 2 for "
            f"operation 'concat', got {embedding_dim}; take 'sum' or 'product'"
        )


def _widths(operation: str, embedding_dim: int) -> tuple[int, int]:
    """Width of a remainder's row and of a quotient's."""
    if operation != "concat":
        return embedding_dim, embedding_dim
    return embedding_dim - embedding_dim // 2, embedding_dim // 2
