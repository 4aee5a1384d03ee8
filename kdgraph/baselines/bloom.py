"""BloomEmbedding: a sum of hashed rows."""

from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.encoder import Encoder, Encoding, positive_int


class BloomEmbedding(Encoder):
    r"""The sum of the rows that a Bloom filter of the node marks.

    "Getting Deep Recommenders Fit: Bloom Embeddings for Sparse Binary Input/Output
    Networks" (Serra and Karatzoglou, RecSys 2017): an identity feature is replaced by
    the m bits that k hash functions set, before the first matrix of the network,

    .. math:: e_v = \sum_{i=1}^{k} E[H_i(v)], \qquad E \in \mathbb{R}^{m \times C}.

    Two nodes have the same vector only if all their hashes agree, and nothing is stored
    per node. A row that two hashes of a node name counts twice. The sum starts with the
    variance of a :class:`FullEmbedding <kdgraph.baselines.full.FullEmbedding>`.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        num_buckets: Number of rows m.
        num_hashes: Hash functions k. (default: ``4``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or more buckets than a hash can name.

    Example:
        >>> encoder = BloomEmbedding(1000, 64, num_buckets=100)
        >>> encoder.inference_bytes()  # 100 rows of 64 floats, and four hashes
        25664
    """

    sparse_parameters: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        num_buckets: int,
        *,
        num_hashes: int = 4,
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.num_buckets = positive_int(num_buckets, "num_buckets", "BloomEmbedding")
        self.num_hashes = positive_int(num_hashes, "num_hashes", "BloomEmbedding")
        self.sparse = sparse
        self.hashes = HashFunctions(self.num_nodes, self.num_buckets, self.num_hashes)
        self.weight = nn.Parameter(torch.empty(self.num_buckets, self.embedding_dim))
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_hashes: int = 4,
        sparse: bool = False,
    ) -> Self:
        """The one of most buckets, N at most, that takes at most ``max_bytes``.

        Raises:
            ValueError: Not even one bucket fits.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="BloomEmbedding")
        buckets = largest_size(
            lambda buckets: 4 * buckets * embedding_dim + 16 * num_hashes,
            max_bytes,
            owner="BloomEmbedding",
            what="num_buckets",
            most=num_nodes,
        )
        return cls(
            num_nodes, embedding_dim, buckets, num_hashes=num_hashes, sparse=sparse
        )

    def reset_parameters(self) -> None:
        """Draw rows and hashes anew."""
        self.hashes.reset_parameters()
        total = (self.num_nodes + self.embedding_dim) * self.num_hashes
        limit = (6.0 / total) ** 0.5
        nn.init.uniform_(self.weight, -limit, limit)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        sparse = self.sparse and n_id is not None
        x = functional.embedding_bag(
            self.hashes(n_id), self.weight, mode="sum", sparse=sparse
        )
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes, buckets and hashes."""
        hashed = f"num_buckets={self.num_buckets}, num_hashes={self.num_hashes}"
        return f"{super().extra_repr()}, {hashed}"
