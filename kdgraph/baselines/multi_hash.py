"""MultiHashEmbedding: a weighted sum of rows of a shared pool."""

from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.encoder import Encoder, Encoding, positive_int

_POOL_STD, _IMPORTANCE_STD = 0.1, 0.0005


class MultiHashEmbedding(Encoder):
    r"""A few rows of a shared pool, weighted by the node.

    "Hash Embeddings for Efficient Word Representations" (Svenstrup, Hansen and Winther,
    NeurIPS 2017): k hash functions choose component vectors out of one pool of B rows,
    and every node has k trained importance weights,

    .. math:: e_v = \sum_{i=1}^{k} p_v[i] \, E[H_i(v)],
        \qquad E \in \mathbb{R}^{B \times C}, \ p \in \mathbb{R}^{N \times k}.

    Each node has weights of its own, so that nodes differ even where all their rows
    collide; the weights are not appended to the vector. Components start normal with
    deviation 0.1 and weights with deviation 0.0005, as in the implementation of Dubois
    (YannDubs/Hash-Embeddings), so that vectors start close to zero.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        num_buckets: Rows of the pool B.
        num_hashes: Hash functions k. (default: ``2``)
        sparse: Sparse gradients for the rows and weights of a mini-batch.
            (default: ``False``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or more buckets than a hash can name.

    Example:
        >>> encoder = MultiHashEmbedding(1000, 64, num_buckets=100)
        >>> encoder.inference_bytes()  # 4 (100 * 64 + 1000 * 2) and two hashes
        33632
    """

    sparse_parameters: ClassVar[tuple[str, ...]] = ("weight", "importance")

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        num_buckets: int,
        *,
        num_hashes: int = 2,
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        name = "MultiHashEmbedding"
        self.num_buckets = positive_int(num_buckets, "num_buckets", name)
        self.num_hashes = positive_int(num_hashes, "num_hashes", name)
        self.sparse = sparse
        self.hashes = HashFunctions(self.num_nodes, self.num_buckets, self.num_hashes)
        self.weight = nn.Parameter(torch.empty(self.num_buckets, self.embedding_dim))
        self.importance = nn.Parameter(torch.empty(self.num_nodes, self.num_hashes))
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_hashes: int = 2,
        sparse: bool = False,
    ) -> Self:
        """The one of most buckets, N at most, that takes at most ``max_bytes``.

        Importance weights come first: ``4 N k`` bytes.

        Raises:
            ValueError: Not even one bucket fits beside the weights.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="MultiHashEmbedding")
        beside = (4 * num_nodes + 16) * num_hashes
        buckets = largest_size(
            lambda buckets: 4 * buckets * embedding_dim + beside,
            max_bytes,
            owner="MultiHashEmbedding",
            what="importance weights and num_buckets",
            most=num_nodes,
        )
        return cls(
            num_nodes, embedding_dim, buckets, num_hashes=num_hashes, sparse=sparse
        )

    def reset_parameters(self) -> None:
        """Draw pool, weights and hashes anew."""
        self.hashes.reset_parameters()
        nn.init.normal_(self.weight, std=_POOL_STD)
        nn.init.normal_(self.importance, std=_IMPORTANCE_STD)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        sparse = self.sparse and n_id is not None
        importance: Tensor = self.importance
        if n_id is not None:
            importance = functional.embedding(n_id, importance, sparse=sparse)
        # A bag keeps no rows for the gradient, where a product would keep k of each.
        x = functional.embedding_bag(
            self.hashes(n_id),
            self.weight,
            mode="sum",
            sparse=sparse,
            per_sample_weights=importance,
        )
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes, buckets and hashes."""
        hashed = f"num_buckets={self.num_buckets}, num_hashes={self.num_hashes}"
        return f"{super().extra_repr()}, {hashed}"
