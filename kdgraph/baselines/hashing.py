"""HashingEmbedding: nodes of a bucket share its row."""

from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.encoder import Encoder, Encoding, positive_int


class HashingEmbedding(Encoder):
    r"""One row per bucket, :math:`e_v = E[H(v)]`.

    The hashing trick of "Feature Hashing for Large Scale Multitask Learning"
    (Weinberger et al., ICML 2009) for an identity feature: nodes that collide have the
    same vector. Rows start like those of
    :class:`FullEmbedding <kdgraph.baselines.full.FullEmbedding>`.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        num_buckets: Number of rows B.
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or more buckets than a hash can name.

    Example:
        >>> table = HashingEmbedding(1000, 64, num_buckets=100)
        >>> table.inference_bytes()  # 100 rows of 64 floats, a hash of two integers
        25616
    """

    sparse_parameters: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        num_buckets: int,
        *,
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.num_buckets = positive_int(num_buckets, "num_buckets", "HashingEmbedding")
        self.sparse = sparse
        self.hashes = HashFunctions(self.num_nodes, self.num_buckets)
        self.weight = nn.Parameter(torch.empty(self.num_buckets, self.embedding_dim))
        self.reset_parameters()

    @classmethod
    def within(
        cls, max_bytes: int, num_nodes: int, embedding_dim: int, *, sparse: bool = False
    ) -> Self:
        """The one of most buckets, N at most, that takes at most ``max_bytes``.

        Raises:
            ValueError: Not even one bucket fits.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="HashingEmbedding")
        buckets = largest_size(
            lambda buckets: 4 * buckets * embedding_dim + 16,
            max_bytes,
            owner="HashingEmbedding",
            what="num_buckets",
            most=num_nodes,
        )
        return cls(num_nodes, embedding_dim, buckets, sparse=sparse)

    def reset_parameters(self) -> None:
        """Draw the rows and the hash anew."""
        self.hashes.reset_parameters()
        limit = (6.0 / (self.num_nodes + self.embedding_dim)) ** 0.5
        nn.init.uniform_(self.weight, -limit, limit)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        bucket = self.hashes(n_id).squeeze(1)
        sparse = self.sparse and n_id is not None
        rows = functional.embedding(bucket, self.weight, sparse=sparse)
        return Encoding(rows, rows.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes and buckets."""
        return f"{super().extra_repr()}, num_buckets={self.num_buckets}"
