"""PositionHashEmbedding: where a node is in the graph, and a hashed part beside it."""

import itertools
import operator
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.codes import CodeTable
from kdgraph.encoder import Encoder, Encoding, positive_int
from kdgraph.ops import (
    Codebooks,
    coded_gather,
    position_offsets,
    row_bytes,
    unpack_nodes,
)

_LARGEST_BRANCHING = 1024


class PositionHashEmbedding(Encoder):
    r"""A vector for each cluster a node is in, plus weighted vectors of hashed buckets.

    PosHashEmb, from "Position-based Hash Embeddings for Scaling Graph Neural Networks"
    (Kalantzi and Karypis, IEEE BigData 2021, section 4): with the cluster
    :math:`z_l(v)` of a node on level l of a hierarchical partition and hash functions
    :math:`H_t` into B buckets,

    .. math:: e_v = \sum_l P_l[z_l(v)] + \sum_{t=1}^{h} w_{v,t} \, X[H_t(v)].

    Without buckets it is their position-specific embedding alone (*Pos-emb*). Buckets
    of a node are among those of its cluster on the first level (*intra*), or among all.
    All tables have the full width C here, and importance weights start at 1.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        digits: The child that each node is in on every level, as
            :func:`kdgraph.codes.partition_codes` gives it with ``kind="digits"``:
            :math:`z_l` follows from the first l of them. They are stored packed.
        num_buckets: B; 0 for positions alone. (default: ``0``)
        num_hashes: h. (default: ``2``)
        intra: Whether buckets belong to the clusters of the first level.
            (default: ``True``)
        sparse: Sparse gradients for importance weights of a mini-batch.
            (default: ``False``)

    Raises:
        TypeError: A size that is not an integer, or digits of another type.
        ValueError: Digits of another number of nodes, or fewer buckets than clusters.

    Example:
        >>> digits = CodeTable.from_codes(torch.tensor([[0, 0], [0, 1], [1, 0]]), 2)
        >>> encoder = PositionHashEmbedding(3, 8, digits)
        >>> encoder.inference_bytes()  # 3 nodes of 2 bits, and 2 + 4 rows of 8 floats
        195
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        digits: CodeTable,
        *,
        num_buckets: int = 0,
        num_hashes: int = 2,
        intra: bool = True,
        sparse: bool = False,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        name = "PositionHashEmbedding"
        if not isinstance(digits, CodeTable):
            raise TypeError(
                f"{name} expects digits as a CodeTable, got {type(digits).__name__}; "
                "partition_codes makes one"
            )
        if digits.packed.size(0) != self.num_nodes or digits.prefix is not None:
            raise ValueError(
                f"{name} expects digits of {self.num_nodes} nodes, all stored, got "
                f"{digits.packed.size(0)}"
            )
        self.branching = digits.codebook_sizes
        self.level_sizes = _clusters(self.branching)
        self.num_buckets = num_buckets and positive_int(
            num_buckets, "num_buckets", name
        )
        self.num_hashes = positive_int(num_hashes, "num_hashes", name)
        self.groups = self.level_sizes[0] if intra else 1
        if 0 < self.num_buckets < self.groups:
            raise ValueError(
                f"{name} expects a bucket for each of {self.groups} clusters of the "
                f"first level, got num_buckets={self.num_buckets}; take more, or "
                "intra=False"
            )
        self.sparse = sparse
        self.digits: Tensor
        self.register_buffer("digits", digits.packed)
        self.positions = nn.Parameter(
            torch.empty(sum(self.level_sizes), self.embedding_dim)
        )
        self.buckets: nn.Parameter | None = None
        self.importance: nn.Parameter | None = None
        if self.num_buckets:
            self.buckets = nn.Parameter(
                torch.empty(self.num_buckets, self.embedding_dim)
            )
            self.importance = nn.Parameter(torch.empty(self.num_nodes, self.num_hashes))
            share = self.num_buckets // self.groups
            self.hashes = HashFunctions(self.num_nodes, share, self.num_hashes)
        self.reset_parameters()

    @staticmethod
    def branching_within(
        max_bytes: int, num_nodes: int, embedding_dim: int, num_levels: int = 3
    ) -> tuple[int, ...]:
        r"""The widest partition whose digits and tables take at most ``max_bytes``.

        Every cluster has as many children, :math:`\alpha`, so that level l has
        :math:`\alpha^l` clusters: as many levels as asked, and fewer where not even
        :math:`\alpha = 2` fits.

        Raises:
            ValueError: Not even two clusters fit.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="PositionHashEmbedding")
        for depth in range(num_levels, 0, -1):
            for alpha in range(min(_LARGEST_BRANCHING, num_nodes), 1, -1):
                branching = (alpha,) * depth
                if alpha**depth > num_nodes:
                    continue
                tables = 4 * embedding_dim * sum(_clusters(branching))
                if tables + num_nodes * row_bytes(branching) <= max_bytes:
                    return branching
        raise ValueError(
            f"PositionHashEmbedding does not fit max_bytes={max_bytes}: two clusters "
            f"take {8 * embedding_dim + num_nodes} bytes; allow more"
        )

    @staticmethod
    def buckets_within(
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        branching: Sequence[int],
        num_hashes: int = 2,
    ) -> int:
        """The buckets that fit beside positions and importance weights, maybe none."""
        check_budget(max_bytes, num_nodes, embedding_dim, owner="PositionHashEmbedding")
        taken = 4 * embedding_dim * sum(_clusters(branching))
        taken += num_nodes * row_bytes(branching)
        taken += 4 * num_nodes * num_hashes + 16 * num_hashes
        return max(0, (max_bytes - taken) // (4 * embedding_dim))

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        digits: CodeTable,
        *,
        num_hashes: int = 2,
        sparse: bool = False,
    ) -> Self:
        """The one with as many buckets as fit beside given positions.

        Raises:
            ValueError: Not a bucket for each cluster of the first level fits.
        """
        sizes = digits.codebook_sizes
        buckets = cls.buckets_within(
            max_bytes, num_nodes, embedding_dim, sizes, num_hashes
        )
        if buckets < sizes[0]:
            raise ValueError(
                f"PositionHashEmbedding does not fit max_bytes={max_bytes}: beside "
                f"positions {sizes} and importance weights {buckets} buckets fit, and "
                f"{sizes[0]} clusters need one each; allow more"
            )
        return cls(
            num_nodes,
            embedding_dim,
            digits,
            num_buckets=buckets,
            num_hashes=num_hashes,
            sparse=sparse,
        )

    def reset_parameters(self) -> None:
        """Draw tables and hashes anew; their sum starts with Glorot's variance."""
        parts = len(self.level_sizes) + (self.num_hashes if self.num_buckets else 0)
        variance = 2.0 / (self.num_nodes + self.embedding_dim) / parts
        nn.init.normal_(self.positions, std=variance**0.5)
        if self.buckets is not None and self.importance is not None:
            nn.init.normal_(self.buckets, std=variance**0.5)
            nn.init.ones_(self.importance)
            self.hashes.reset_parameters()

    def _encode(self, n_id: Tensor | None) -> Encoding:
        clusters = self._clusters_of(n_id)
        sizes = self.level_sizes
        offsets = torch.tensor(position_offsets(sizes), device=self.positions.device)
        books = Codebooks(self.positions, offsets, sizes)
        x = coded_gather(clusters, books, compose="sum", check=False)
        if self.buckets is not None and self.importance is not None:
            weights: Tensor = self.importance
            if n_id is not None:
                weights = functional.embedding(n_id, weights, sparse=self.sparse)
            hashed = self._hash(n_id, clusters[:, 0])
            for number in range(self.num_hashes):
                rows = functional.embedding(hashed[:, number], self.buckets)
                x = x + weights[:, number : number + 1] * rows
        return Encoding(x, x.new_zeros(()))

    def _clusters_of(self, n_id: Tensor | None) -> Tensor:
        """Clusters of nodes on every level, ``int64`` ``[B, L]``."""
        digits = unpack_nodes(self.digits, n_id, self.branching)
        levels = [digits[:, 0]]
        for level, children in enumerate(self.branching[1:], 1):
            levels.append(levels[-1] * children + digits[:, level])
        return torch.stack(levels, dim=1)

    def _hash(self, n_id: Tensor | None, first: Tensor) -> Tensor:
        """Buckets of nodes in clusters of the first level, ``[B, h]``."""
        bucket: Tensor = self.hashes(n_id)
        if self.groups > 1:
            bucket = bucket + self.hashes.num_buckets * first[:, None]
        return bucket

    def extra_repr(self) -> str:
        """Sizes, clusters of each level and buckets."""
        levels = "x".join(map(str, self.level_sizes))
        hashed = ""
        if self.num_buckets:
            hashed = f", num_buckets={self.num_buckets}, num_hashes={self.num_hashes}"
        return f"{super().extra_repr()}, levels={levels}{hashed}"


def _clusters(branching: Sequence[int]) -> tuple[int, ...]:
    """Clusters on every level."""
    return tuple(itertools.accumulate(branching, operator.mul))
