"""HashFunctions: from ids to buckets, by constants that are drawn and kept."""

import torch
from torch import Tensor, nn

from kdgraph.encoder import positive_int

_MOST_BUCKETS = 1 << 31


class HashFunctions(nn.Module):
    r"""Independent hash functions from node ids to ``[0, num_buckets)``.

    Multiply-shift (Dietzfelbinger et al., Journal of Algorithms 1997): with 64-bit
    :math:`a_i, b_i` of each function,

    .. math::
        H_i(v) = \left\lfloor \frac{B}{2^{32}}
            \left\lfloor \frac{(a_i v + b_i) \bmod 2^{64}}{2^{32}} \right\rfloor
        \right\rfloor.

    For ids below :math:`2^{32}`, two nodes share a bucket of a function with
    probability about 1 / B. The constants, 16 bytes a function, are drawn from torch's
    global generator and belong to the state. They are integers, which ``.to(dtype)``
    leaves alone.

    Args:
        num_nodes: Number of nodes N.
        num_buckets: Number of buckets B, at most :math:`2^{31}`.
        num_hashes: Number of functions. (default: ``1``)

    Shapes:
        - **input:** flat ``int64`` ids ``[M]`` in range, or ``None`` for all N nodes
        - **output:** buckets ``[M, num_hashes]``, ``int64``

    Raises:
        TypeError: A number that is not an integer.
        ValueError: A number below 1, or too many buckets.

    Example:
        >>> buckets = HashFunctions(1000, 16, num_hashes=2)(torch.tensor([5, 7, 5]))
        >>> buckets.shape, torch.equal(buckets[0], buckets[2])
        (torch.Size([3, 2]), True)
    """

    constants: Tensor

    def __init__(self, num_nodes: int, num_buckets: int, num_hashes: int = 1) -> None:
        super().__init__()
        self.num_nodes = positive_int(num_nodes, "num_nodes", "HashFunctions")
        self.num_buckets = positive_int(num_buckets, "num_buckets", "HashFunctions")
        self.num_hashes = positive_int(num_hashes, "num_hashes", "HashFunctions")
        if self.num_buckets > _MOST_BUCKETS:
            raise ValueError(
                "HashFunctions expects num_buckets of at most 2**31, got "
                f"{self.num_buckets}; take fewer"
            )
        self.register_buffer(
            "constants", torch.empty(2, self.num_hashes, dtype=torch.int64)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the constants anew."""
        self.constants.random_(-(1 << 63), None)

    def forward(self, n_id: Tensor | None) -> Tensor:
        """Buckets of ids, or of all nodes."""
        if n_id is None:
            n_id = torch.arange(self.num_nodes, device=self.constants.device)
        factor, offset = self.constants
        # Integers of 64 bits wrap around: that is the modulus. A shift keeps the sign,
        # so the lower half is cut out of what it leaves.
        high: Tensor = (n_id[:, None] * factor).add_(offset)
        high.bitwise_right_shift_(32).bitwise_and_((1 << 32) - 1)
        high.mul_(self.num_buckets).bitwise_right_shift_(32)
        return high
