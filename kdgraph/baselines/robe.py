"""ROBEEmbedding: every vector is put together from blocks of one shared array."""

from typing import Self

import torch
from torch import Tensor, nn

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.encoder import Encoder, Encoding, positive_int

_MOST_FLOATS = (1 << 31) - 1
"""Positions in the array are integers of 32 bits, which halves those of a batch."""


class ROBEEmbedding(Encoder):
    r"""Blocks of one array at hashed offsets.

    Random offset block embedding, ROBE-Z, of "Random Offset Block Embedding (ROBE) for
    Compressed Embedding Tables in Deep Learning Recommendation Systems" (Desai, Chou
    and Shrivastava, MLSys 2022): with an array :math:`M` of m floats, taken as a
    circle, and blocks of Z columns,

    .. math:: e_v[c] =
        M\!\left[(H_{\lfloor c / Z \rfloor}(v) + c \bmod Z) \bmod m\right].

    Blocks may overlap, so that nodes share numbers rather than rows. Every block has a
    hash function of its own, where the paper has one of node and block whose constants
    are added up: nodes that collide in one block then collide in no other for that
    reason. A block is never wider than a vector. The array starts like the rows of a
    :class:`FullEmbedding <kdgraph.baselines.full.FullEmbedding>`.

    Looking up B nodes makes 4 B C bytes of positions.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        size: Length of the array m, at least a block.
        block_size: Width of a block Z; 1 hashes every number by itself.
            (default: ``32``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or an array shorter than a block or too long.

    Example:
        >>> encoder = ROBEEmbedding(1000, 64, size=5000)
        >>> encoder.inference_bytes()  # 5000 floats and the hashes of two blocks
        20032
    """

    def __init__(
        self, num_nodes: int, embedding_dim: int, size: int, *, block_size: int = 32
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.size = positive_int(size, "size", "ROBEEmbedding")
        self.block_size = positive_int(block_size, "block_size", "ROBEEmbedding")
        self._block, blocks = _blocks(self.embedding_dim, self.block_size)
        most = _MOST_FLOATS - self._block
        if not self._block <= self.size <= most:
            raise ValueError(
                f"ROBEEmbedding expects size from {self._block}, a block, to {most}, "
                f"got {self.size}"
            )
        self.hashes = HashFunctions(self.num_nodes, self.size, blocks)
        self.weight = nn.Parameter(torch.empty(self.size))
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        block_size: int = 32,
    ) -> Self:
        """The one of the longest array that takes at most ``max_bytes``.

        It has N C floats at most, and no more than positions of 32 bits can name.

        Raises:
            ValueError: Not even an array of one block fits.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="ROBEEmbedding")
        block, blocks = _blocks(
            embedding_dim, positive_int(block_size, "block_size", "ROBEEmbedding")
        )
        more = largest_size(
            lambda more: 4 * (block + more - 1) + 16 * blocks,
            max_bytes,
            owner="ROBEEmbedding",
            what=f"a block of {block} as size",
            most=min(num_nodes * embedding_dim, _MOST_FLOATS - block) - block + 1,
        )
        return cls(num_nodes, embedding_dim, block + more - 1, block_size=block_size)

    def reset_parameters(self) -> None:
        """Draw the array and the hashes anew."""
        self.hashes.reset_parameters()
        limit = (6.0 / (self.num_nodes + self.embedding_dim)) ** 0.5
        nn.init.uniform_(self.weight, -limit, limit)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        start = self.hashes(n_id).int()
        step = torch.arange(self._block, dtype=torch.int32, device=start.device)
        place = (start[:, :, None] + step).flatten(1)[:, : self.embedding_dim]
        # The first block again behind the last number: a circle without a modulus.
        circle = torch.cat([self.weight, self.weight[: self._block - 1]])
        x = circle.index_select(0, place.reshape(-1))
        x = x.view(-1, self.embedding_dim)
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes, length of the array and width of a block."""
        return f"{super().extra_repr()}, size={self.size}, block_size={self.block_size}"


def _blocks(embedding_dim: int, block_size: int) -> tuple[int, int]:
    """Width of a block, and how many make a vector."""
    block = min(block_size, embedding_dim)
    return block, -(-embedding_dim // block)
