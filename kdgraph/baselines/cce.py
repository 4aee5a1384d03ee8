"""CCEEmbedding: hashed tables whose pointers are clustered while they train."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.codes import kmeans, random_codes
from kdgraph.codes.kmeans import nearest
from kdgraph.codes.rows import CHUNK_ELEMENTS, count_distinct
from kdgraph.codes.table import CHUNK_ROWS
from kdgraph.encoder import Encoder, Encoding, positive_int
from kdgraph.ops import (
    MAX_CODEBOOK_SIZE,
    Codebooks,
    PackedCodes,
    coded_gather,
    pack,
    position_offsets,
    row_bytes,
)

_SAMPLES_PER_ROW = 200
"""Nodes that k-means sees for each row of a table, as the authors have it."""


class CCEEmbedding(Encoder):
    r"""Clustered compositional embeddings: pointers into two small tables per chunk.

    "Clustering the Sketch: Dynamic Compression for Embedding Tables" (Tsang and Ahle,
    NeurIPS 2023, algorithm 3). A vector is c chunks of width C / c, and chunk j of node
    v the sum of a row of each of two tables,

    .. math:: e_v^{(j)} = T_0^{(j)}[h_0^{(j)}(v)] + T_1^{(j)}[h_1^{(j)}(v)].

    All pointers start at random. :meth:`cluster` then moves what was learned into them:
    chunk by chunk, k-means over the vectors of 200 nodes per row gives
    :math:`T_0`, every node points to the nearest centroid, :math:`h_1` is drawn anew,
    and :math:`T_1` becomes the mean of what the centroid leaves of the nodes that point
    to a row. The authors' code draws :math:`h_1` of all nodes again for every batch
    that it assigns, so that means of earlier batches belong to pointers that are gone;
    here it is drawn once.

    Pointers are packed bits, :math:`2 c \lceil \log_2 R \rceil` a node. The optimizer
    is not told of a clustering: what it keeps for a row, such as Adam's moments,
    stays with the row, as with the authors.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C, a multiple of ``num_chunks``.
        num_rows: Rows of each table R, 2 to 65536.
        num_chunks: Chunks c. (default: ``4``)
        cluster_after: Numbers of epochs after which :meth:`after_epoch` clusters. The
            authors do so a few times, and train on for long enough after the last.
            (default: never)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size out of range, a width that is no multiple of the chunks, or
            epochs below 1.

    Example:
        >>> encoder = CCEEmbedding(1000, 64, num_rows=16)
        >>> encoder.inference_bytes()  # 8 pointers of 4 bits, and 2 x 16 rows
        12192
    """

    packed: Tensor

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_rows: int,
        num_chunks: int = 4,
        cluster_after: Sequence[int] = (),
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        name = "CCEEmbedding"
        self.num_rows = positive_int(num_rows, "num_rows", name)
        self.num_chunks = _chunks(num_chunks, self.embedding_dim)
        if not 2 <= self.num_rows <= MAX_CODEBOOK_SIZE:
            raise ValueError(
                f"{name} expects num_rows in [2, {MAX_CODEBOOK_SIZE}], got {num_rows}"
            )
        self.cluster_after = tuple(
            positive_int(epoch, "an epoch of cluster_after", name)
            for epoch in cluster_after
        )
        positions = 2 * self.num_chunks
        # Two tables a chunk, one after the other.
        self.tables = nn.Parameter(
            torch.empty(
                positions * self.num_rows, self.embedding_dim // self.num_chunks
            )
        )
        width = row_bytes(self.pointer_sizes)
        packed = torch.empty(self.num_nodes, width, dtype=torch.uint8)
        self.register_buffer("packed", packed)
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_chunks: int = 4,
        cluster_after: Sequence[int] = (),
    ) -> Self:
        """The one of most rows that takes at most ``max_bytes``, and no more than N.

        Raises:
            ValueError: Not even two rows do.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="CCEEmbedding")
        chunks = _chunks(num_chunks, embedding_dim)

        def bytes_of(more: int) -> int:
            sizes = (more + 1,) * (2 * chunks)
            return num_nodes * row_bytes(sizes) + 8 * (more + 1) * embedding_dim

        more = largest_size(
            bytes_of,
            max_bytes,
            owner="CCEEmbedding",
            what="num_rows above",
            most=max(1, min(num_nodes, MAX_CODEBOOK_SIZE) - 1),
        )
        return cls(
            num_nodes,
            embedding_dim,
            num_rows=more + 1,
            num_chunks=chunks,
            cluster_after=cluster_after,
        )

    @property
    def pointer_sizes(self) -> tuple[int, ...]:
        """Choices of each pointer of a node, of which every chunk has two."""
        return (self.num_rows,) * (2 * self.num_chunks)

    def reset_parameters(self) -> None:
        r"""Draw tables and pointers anew.

        Tables as the authors have them, uniform in :math:`\pm C^{-1/2}`.
        """
        bound = self.embedding_dim**-0.5
        nn.init.uniform_(self.tables, -bound, bound)
        sizes = self.pointer_sizes
        if not self.packed.is_meta:
            self.packed.copy_(random_codes(self.num_nodes, len(sizes), sizes).packed)

    def after_epoch(self, epoch: int) -> None:
        """Cluster where the schedule says so."""
        if epoch + 1 in self.cluster_after:
            self.cluster()

    @torch.no_grad()
    def cluster(self) -> None:
        """Point nodes to the clusters of their chunks, and start residuals anew.

        Randomness is torch's global generator. Where a sample has fewer distinct
        vectors than tables have rows, the last rows are not pointed to.
        """
        drawn = torch.randperm(self.num_nodes)[: _SAMPLES_PER_ROW * self.num_rows]
        sample = self._chunks_of(drawn.to(self.packed.device))
        centroids = [self._centroids(chunk) for chunk in sample.unbind(1)]
        shape = (self.num_chunks, self.num_rows, sample.size(2))
        sums = sample.new_zeros(shape)
        counts = sample.new_zeros(shape[:2])
        step = min(CHUNK_ROWS, max(1, CHUNK_ELEMENTS // self.embedding_dim))
        for start in range(0, self.num_nodes, step):
            stop = min(start + step, self.num_nodes)
            vectors = self._chunks_of(torch.arange(start, stop, device=drawn.device))
            pointers = torch.randint(
                self.num_rows, (stop - start, 2 * self.num_chunks)
            ).to(vectors.device)
            for chunk, centers in enumerate(centroids):
                own = vectors[:, chunk]
                found = nearest(own, centers)
                other = pointers[:, 2 * chunk + 1]
                pointers[:, 2 * chunk] = found
                sums[chunk].index_add_(0, other, own - centers[found])
                counts[chunk].index_add_(0, other, torch.ones_like(own[:, 0]))
            self.packed[start:stop] = pack(pointers, self.pointer_sizes)
        means = sums / counts.clamp(min=1.0)[:, :, None]
        tables = self.tables.view(self.num_chunks, 2, self.num_rows, -1)
        for chunk, centers in enumerate(centroids):
            tables[chunk, 0, : len(centers)] = centers.to(tables.dtype)
        tables[:, 1] = means.to(tables.dtype)

    def _chunks_of(self, n_id: Tensor) -> Tensor:
        """Vectors of nodes as float32 ``[B, c, C / c]``."""
        x = self._encode(n_id.to(self.packed.device)).x
        return x.view(-1, self.num_chunks, self.tables.size(1)).float()

    def _centroids(self, sample: Tensor) -> Tensor:
        """Centroids of one chunk, as many as rows where it is that varied."""
        rows = sample.contiguous()
        count = count_distinct(rows, self.num_rows)
        seed = int(torch.randint(1 << 31, ()))
        return kmeans(rows, count, seed=seed).centroids

    def _encode(self, n_id: Tensor | None) -> Encoding:
        sizes = self.pointer_sizes
        offsets = torch.tensor(position_offsets(sizes), device=self.tables.device)
        books = Codebooks(self.tables, offsets, sizes)
        rows = coded_gather(
            PackedCodes(self.packed, sizes), books, n_id, compose="concat", check=False
        )
        pairs = rows.view(-1, self.num_chunks, 2, self.tables.size(1))
        x = (pairs[:, :, 0] + pairs[:, :, 1]).flatten(1)
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes, rows and chunks."""
        return (
            f"{super().extra_repr()}, num_rows={self.num_rows}, "
            f"num_chunks={self.num_chunks}"
        )


def _chunks(num_chunks: int, embedding_dim: int) -> int:
    """Check that a vector can be cut into so many chunks."""
    chunks = positive_int(num_chunks, "num_chunks", "CCEEmbedding")
    if embedding_dim % chunks:
        raise ValueError(
            f"CCEEmbedding expects embedding_dim as a multiple of num_chunks={chunks}, "
            f"got {embedding_dim}"
        )
    return chunks
