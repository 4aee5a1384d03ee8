"""DeepHashEmbedding: no table at all, a network of many hashes."""

from typing import Self

from torch import Tensor, nn
from torch.nn import functional

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.hash_functions import HashFunctions
from kdgraph.composers.norm import BatchNorm, make_norm
from kdgraph.encoder import Encoder, Encoding, positive_int

_NUM_BUCKETS = 10**6
_WIDEST = 1 << 16


class DeepHashEmbedding(Encoder):
    r"""A network that maps many hashes of a node to its vector.

    DHE, of "Learning to Embed Categorical Features without Embedding Tables for
    Recommendation" (Kang et al., KDD 2021): k hash functions into :math:`m = 10^6`
    buckets, spread uniformly over [-1, 1], go through hidden layers with batch
    normalisation and Mish,

    .. math:: u_v[i] = \frac{2 H_i(v)}{m - 1} - 1, \qquad
        e_v = \mathrm{MLP}(u_v), \ u_v \in [-1, 1]^k.

    Nothing is stored per node or bucket. Five hidden layers and batch normalisation
    are those of the implementation in Hetu (Zhang et al., VLDB 2024); linear maps start
    with Glorot's variance. The authors take k = 1024. The default here is 128: the
    input of a full batch, 4 N k bytes, is kept for the gradient, and of a small budget
    the first layer would take nearly all.

    In evaluation the last bits of a vector may depend on the batch it is in, as in
    every network of matrix products and transcendental functions.

    A vector costs as many multiplications as the network has weights, and a training
    step keeps about three hidden vectors a node and layer.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        hidden_dim: Width of the hidden layers.
        num_hashes: Hash functions k. (default: ``128``)
        num_layers: Hidden layers. (default: ``5``)
        batch_norm: Whether hidden layers are normalised. (default: ``True``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1.

    Example:
        >>> encoder = DeepHashEmbedding(1000, 64, hidden_dim=16, num_layers=1)
        >>> encoder.num_hashes, [tuple(p.shape) for p in encoder.parameters()]
        (128, [(16, 128), (16,), (16,), (64, 16), (64,)])
    """

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        num_hashes: int = 128,
        num_layers: int = 5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        name = "DeepHashEmbedding"
        self.hidden_dim = positive_int(hidden_dim, "hidden_dim", name)
        self.num_hashes = positive_int(num_hashes, "num_hashes", name)
        self.num_layers = positive_int(num_layers, "num_layers", name)
        self.batch_norm = batch_norm
        self.hashes = HashFunctions(self.num_nodes, _NUM_BUCKETS, self.num_hashes)
        self.hidden = nn.ModuleList()
        self.norms = nn.ModuleList()
        width = self.num_hashes
        for _ in range(self.num_layers):
            # Batch normalisation takes a bias out again, and has one of its own.
            self.hidden.append(nn.Linear(width, self.hidden_dim, bias=not batch_norm))
            self.norms.append(
                make_norm("batch" if batch_norm else None, self.hidden_dim)
            )
            width = self.hidden_dim
        self.last = nn.Linear(width, self.embedding_dim)
        self.reset_parameters()

    @classmethod
    def within(
        cls,
        max_bytes: int,
        num_nodes: int,
        embedding_dim: int,
        *,
        num_hashes: int = 128,
        num_layers: int = 5,
        batch_norm: bool = True,
    ) -> Self:
        r"""The one of widest hidden layers that takes at most ``max_bytes``.

        They are no wider than :math:`2^{16}`.

        Raises:
            ValueError: Not even a width of 1 fits.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="DeepHashEmbedding")

        def bytes_of(width: int) -> int:
            maps = width * (num_hashes + (num_layers - 1) * width + embedding_dim)
            # Scale, shift, mean and variance and a counter; or a bias.
            beside = num_layers * ((16 * width + 8) if batch_norm else 4 * width)
            return 4 * (maps + embedding_dim) + beside + 16 * num_hashes

        hidden_dim = largest_size(
            bytes_of,
            max_bytes,
            owner="DeepHashEmbedding",
            what="hidden_dim",
            most=_WIDEST,
        )
        return cls(
            num_nodes,
            embedding_dim,
            hidden_dim,
            num_hashes=num_hashes,
            num_layers=num_layers,
            batch_norm=batch_norm,
        )

    def reset_parameters(self) -> None:
        """Draw network and hashes anew, and forget running statistics."""
        self.hashes.reset_parameters()
        for layer in (*self.hidden, self.last):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        for norm in self.norms:
            if isinstance(norm, BatchNorm):
                norm.reset_parameters()

    def _encode(self, n_id: Tensor | None) -> Encoding:
        # In float32 a bucket is exact; narrower types could not tell it from the next.
        x = self.hashes(n_id).float().mul_(2.0 / (_NUM_BUCKETS - 1)).sub_(1.0)
        x = x.to(self.last.weight.dtype)
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = functional.mish(norm(layer(x)))
        x = self.last(x)
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes and those of the network."""
        own = f"hidden_dim={self.hidden_dim}, num_hashes={self.num_hashes}"
        return f"{super().extra_repr()}, {own}, num_layers={self.num_layers}"
