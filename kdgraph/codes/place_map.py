"""PlaceMap: from the ids of a graph to places in an order, in a few bits a node."""

from typing import Self

import torch
from torch import Tensor, nn

from kdgraph.ops import inverse_order
from kdgraph.ops.bit_stream import pack_stream, read_stream, stream_bytes

CHUNK_NODES = 1 << 20
"""Places read at once, so that int64 places of all nodes never coexist."""


class PlaceMap(nn.Module):
    r"""The place of each node in an order of the nodes.

    One stream of :math:`b = \lceil \log_2 N \rceil` bits a node,
    :math:`\lceil N b / 8 \rceil` bytes in all, from which any place is read alone. A
    module without parameters, so that the stream goes where the encoder goes.

    Args:
        packed: ``uint8`` ``[map_bytes(num_nodes)]``.
        num_nodes: Number of nodes N.

    Raises:
        TypeError: A stream that is not ``uint8``.
        ValueError: A stream of another length.

    Example:
        >>> places = PlaceMap.from_places(torch.tensor([2, 0, 1]))
        >>> places(torch.tensor([0, 2])), places.nbytes
        (tensor([2, 1]), 1)
    """

    packed: Tensor

    def __init__(self, packed: Tensor, num_nodes: int) -> None:
        super().__init__()
        if packed.dtype != torch.uint8:
            raise TypeError(f"PlaceMap expects bytes (uint8), got {packed.dtype}")
        if tuple(packed.shape) != (map_bytes(num_nodes),):
            raise ValueError(
                f"PlaceMap expects {map_bytes(num_nodes)} bytes for {num_nodes} nodes, "
                f"got shape {tuple(packed.shape)}"
            )
        self.num_nodes = num_nodes
        self.register_buffer("packed", packed)

    @classmethod
    def from_places(cls, places: Tensor) -> Self:
        """Pack the place of each node.

        Args:
            places: ``[N]``, every one of 0 to N - 1 once.

        Raises:
            TypeError: Places that are not integers.
            ValueError: A place that is missing.
        """
        inverse_order(places)
        return cls(pack_stream(places, place_bits(places.numel())), places.numel())

    @property
    def bits(self) -> int:
        """Bits a node."""
        return place_bits(self.num_nodes)

    @property
    def nbytes(self) -> int:
        """Exact bytes of the stream."""
        return self.packed.numel()

    def forward(self, n_id: Tensor | None = None) -> Tensor:
        """The places of some nodes, ``int64`` ``[B]``, or of all.

        Args:
            n_id: Flat ids ``[B]``, or ``None`` for all. An id outside ``[0, N)`` has
                the place N, which is outside too.
        """
        if n_id is None:
            n_id = torch.arange(self.num_nodes, device=self.packed.device)
        inside = (n_id >= 0) & (n_id < self.num_nodes)
        places = read_stream(self.packed, n_id.clamp(0, self.num_nodes - 1), self.bits)
        return torch.where(inside, places, self.num_nodes)

    def check(self) -> None:
        """Check that every place is that of one node.

        Raises:
            ValueError: It is not so, or there are bits after the last place.
        """
        used = self.num_nodes * self.bits % 8
        if used and int(self.packed[-1]) >> used:
            raise ValueError("a map of places has bits set after its last place")
        seen = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.packed.device)
        for start in range(0, self.num_nodes, CHUNK_NODES):
            stop = min(start + CHUNK_NODES, self.num_nodes)
            places = self(torch.arange(start, stop, device=self.packed.device))
            if int(places.max()) >= self.num_nodes:
                raise ValueError(
                    f"a map of places holds 0 to {self.num_nodes - 1}, got "
                    f"{int(places.max())}"
                )
            seen[places] = True
        if not bool(seen.all()):
            raise ValueError(
                "a map of places holds each place once, got none at "
                f"{int((~seen).nonzero()[0])}"
            )

    def extra_repr(self) -> str:
        """Nodes and bits."""
        return f"{self.num_nodes}, bits={self.bits}"

    def __repr__(self) -> str:
        """One line."""
        return f"PlaceMap({self.extra_repr()})"


def place_bits(num_nodes: int) -> int:
    r"""Bits of a place: :math:`\lceil \log_2 N \rceil`, at least 1.

    Example:
        >>> place_bits(2), place_bits(3000), place_bits(4096), place_bits(4097)
        (1, 12, 12, 13)
    """
    return max(1, (num_nodes - 1).bit_length())


def map_bytes(num_nodes: int) -> int:
    r"""Bytes of a map: :math:`\lceil N \lceil \log_2 N \rceil / 8 \rceil`.

    Example:
        >>> map_bytes(3000)
        4500
    """
    return stream_bytes(num_nodes, place_bits(num_nodes))
