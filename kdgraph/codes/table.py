"""CodeTable: packed codes, the one currency between coders, files and kernels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes._file import read_code_file
from kdgraph.codes.prefix import Prefix, without_prefix
from kdgraph.ops import MAX_CODEBOOK_SIZE, inverse_order, pack, row_bytes, unpack_nodes

CHUNK_ROWS = 1 << 20
"""Rows packed or unpacked at once, so that int64 codes of all nodes never coexist."""


class CodeTable:
    r"""The codes of N nodes, bit-packed.

    Node v is a row of :math:`\lceil \sum_j b_j / 8 \rceil` bytes, with
    :math:`b_j = \lceil \log_2 K_j \rceil` bits for position j. Positions that an order
    of the nodes implies are not packed; for a graph that is not stored in that order
    there is the map from its ids to places instead, see :class:`Prefix`.

    Args:
        packed: ``uint8`` ``[N, row_bytes]`` as :func:`kdgraph.ops.pack` gives it.
        codebook_sizes: The alphabet of each position, ``(K_1, ..., K_D)``.
        prefix: What implies the first positions; ``packed`` then holds only the others,
            and is of width 0 where there are none. (default: ``None``)

    Raises:
        TypeError: ``packed`` is not ``uint8``.
        ValueError: Sizes out of range, a row of the wrong width, or a prefix of other
            sizes or another number of nodes.

    Example:
        >>> table = CodeTable.from_codes(torch.tensor([[0, 4], [2, 1]]), [3, 5])
        >>> table.codes(torch.tensor([1]))
        tensor([[2, 1]])
        >>> table.nbytes
        2
    """

    def __init__(
        self,
        packed: Tensor,
        codebook_sizes: Sequence[int],
        prefix: Prefix | None = None,
    ) -> None:
        self.codebook_sizes = check_codebook_sizes(codebook_sizes)
        self.prefix = prefix
        if packed.dtype != torch.uint8:
            raise TypeError(
                f"CodeTable expects packed bytes (uint8), got {packed.dtype}"
            )
        told = () if prefix is None else prefix.codebook_sizes
        if self.codebook_sizes[: len(told)] != told:
            raise ValueError(
                f"CodeTable expects a prefix for the first of K = "
                f"{self.codebook_sizes}, got one for {told}"
            )
        width = row_bytes(self.packed_sizes)
        if packed.dim() != 2 or packed.size(1) != width:
            raise ValueError(
                f"CodeTable expects packed rows [N, {width}] for K = "
                f"{self.packed_sizes}, got shape {tuple(packed.shape)}"
            )
        if prefix is not None and prefix.num_nodes != packed.size(0):
            raise ValueError(
                f"CodeTable got packed rows of {packed.size(0)} nodes and a prefix of "
                f"{prefix.num_nodes}"
            )
        self.packed = packed

    @classmethod
    def from_codes(
        cls, codes: Tensor, codebook_sizes: int | Sequence[int] | None = None
    ) -> "CodeTable":
        """Check and pack codes.

        Args:
            codes: Integers ``[N, D]``.
            codebook_sizes: K, or one per position; by default the largest code of each
                position plus one, and at least 2.

        Raises:
            TypeError: Codes that are not integers.
            ValueError: Codes that are not ``[N, D]``, or sizes that do not fit.
            IndexError: A code below 0 or at or above its alphabet.
        """
        if not isinstance(codes, Tensor):
            raise TypeError(
                f"CodeTable expects codes as a torch.Tensor, got {type(codes).__name__}"
            )
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise TypeError(f"CodeTable expects integer codes, got {codes.dtype}")
        if codes.dim() != 2 or codes.size(0) == 0 or codes.size(1) == 0:
            raise ValueError(
                f"CodeTable expects codes [N, D] with N and D of at least 1, got shape "
                f"{tuple(codes.shape)}"
            )
        highest = codes.amax(dim=0).tolist()
        if codebook_sizes is None:
            codebook_sizes = [max(2, top + 1) for top in highest]
        elif isinstance(codebook_sizes, int):
            codebook_sizes = [codebook_sizes] * codes.size(1)
        sizes = check_codebook_sizes(codebook_sizes)
        if len(sizes) != codes.size(1):
            raise ValueError(
                f"CodeTable expects one codebook size per position, got {len(sizes)} "
                f"sizes for codes with {codes.size(1)} positions"
            )
        lowest = codes.amin(dim=0).tolist()
        for position, (low, high, size) in enumerate(
            zip(lowest, highest, sizes, strict=True)
        ):
            if low < 0 or high >= size:
                raise IndexError(
                    f"CodeTable expects codes of position {position} in [0, {size}), "
                    f"got values from {low} to {high}"
                )
        return cls(
            torch.cat([pack(part, sizes) for part in torch.split(codes, CHUNK_ROWS)]),
            sizes,
        )

    @classmethod
    def from_file(cls, path: str | Path) -> "CodeTable":
        """Read codes ``[N, D]`` from a ``.npy`` file, or ``codes`` of a ``.npz``.

        A ``.npz`` may hold ``codebook_sizes`` beside them. Pickled objects are refused.

        Raises:
            ValueError: The file is missing, of another kind, or holds no integer codes.
        """
        return cls.from_codes(*read_code_file(Path(path)))

    @classmethod
    def from_prefix(cls, prefix: Prefix) -> "CodeTable":
        """The codes that a prefix implies, and no others.

        Example:
            >>> prefix = Prefix(torch.tensor([0, 400, 1000]), (2,))
            >>> CodeTable.from_prefix(prefix).nbytes
            12
        """
        packed = torch.empty(prefix.num_nodes, 0, dtype=torch.uint8)
        return cls(packed, prefix.codebook_sizes, prefix)

    def reordered(self, order: Tensor | np.ndarray) -> "CodeTable":
        """The same nodes, numbered anew.

        Implied positions follow: the map of the prefix changes, and is there only where
        ids are not places.

        Args:
            order: The node that id i stands for now, ``[N]``.

        Raises:
            TypeError: An order that is not of integers.
            ValueError: Not an order of the nodes.
        """
        order = torch.as_tensor(order, device=self.packed.device)
        if inverse_order(order).numel() != self.num_nodes:
            raise ValueError(
                f"CodeTable expects an order of {self.num_nodes} nodes, got one of "
                f"{order.numel()}"
            )
        prefix = None if self.prefix is None else self.prefix.reordered(order)
        return CodeTable(self.packed[order.long()], self.codebook_sizes, prefix)

    def prefixed(self, prefix: Prefix) -> "CodeTable":
        """The codes with those of a prefix before them, at no bytes per node.

        Args:
            prefix: What implies the positions before, for the same ids.

        Raises:
            ValueError: A table that has a prefix, or a prefix of other nodes.

        Example:
            >>> prefix, order = Prefix.of_leaves(torch.tensor([1, 0, 1]), (2,))
            >>> digits = CodeTable.from_codes(torch.tensor([[5], [6], [7]]), 256)
            >>> table = digits.reordered(order).prefixed(prefix)
            >>> table.codes()
            tensor([[0, 6],
                    [1, 5],
                    [1, 7]])
            >>> table.nbytes  # a byte a node, and three boundaries
            15
        """
        if self.prefix is not None:
            raise ValueError("these codes have a prefix already")
        sizes = prefix.codebook_sizes + self.codebook_sizes
        return CodeTable(self.packed, sizes, prefix)

    def repacked(self, codebook_sizes: Sequence[int]) -> "CodeTable":
        """The same codes in wider alphabets.

        Raises:
            ValueError: Other alphabets than a prefix has, or another number of them.
            IndexError: Codes at or above their new alphabet.
        """
        sizes = check_codebook_sizes(codebook_sizes)
        if self.prefix is None:
            return CodeTable.from_codes(self.codes(), sizes)
        told = self.prefix.num_codebooks
        if sizes[:told] != self.prefix.codebook_sizes:
            raise ValueError(
                f"a prefix has K = {self.prefix.codebook_sizes} and no other, got "
                f"{sizes[:told]}"
            )
        if not self.packed_sizes and len(sizes) == told:
            return self
        packed = CodeTable(self.packed, self.packed_sizes).repacked(sizes[told:])
        return packed.prefixed(self.prefix)

    def explicit(self) -> "CodeTable":
        """The same codes, all of them packed."""
        if self.prefix is None:
            return self
        rows = torch.arange(self.num_nodes, device=self.packed.device)
        parts = [
            pack(self.codes(part), self.codebook_sizes)
            for part in torch.split(rows, CHUNK_ROWS)
        ]
        return CodeTable(torch.cat(parts), self.codebook_sizes)

    @property
    def num_nodes(self) -> int:
        """Number of rows N."""
        return self.packed.size(0)

    @property
    def num_codebooks(self) -> int:
        """Number of positions D."""
        return len(self.codebook_sizes)

    @property
    def packed_sizes(self) -> tuple[int, ...]:
        """The alphabets of the positions that are packed."""
        return without_prefix(self.codebook_sizes, self.prefix)

    @property
    def nbytes(self) -> int:
        """Exact bytes of the packed codes, and boundaries and map of a prefix."""
        implied = 0 if self.prefix is None else self.prefix.nbytes
        return self.packed.numel() + implied

    def codes(self, n_id: Tensor | None = None) -> Tensor:
        """The codes of some nodes, ``int64`` ``[B, D]``, or of all."""
        return read_codes(self.packed, n_id, self.packed_sizes, self.prefix)

    def __repr__(self) -> str:
        """Sizes in one line, and what implies the first positions."""
        prefix = "" if self.prefix is None else f", prefix={self.prefix!r}"
        sizes = self.codebook_sizes
        return f"CodeTable({self.num_nodes}, codebook_sizes={sizes}{prefix})"


def read_codes(
    packed: Tensor,
    n_id: Tensor | None,
    packed_sizes: Sequence[int],
    prefix: Prefix | None,
) -> Tensor:
    """What is implied for nodes, and what they store, ``int64`` ``[B, D]``.

    Args:
        packed: ``uint8`` ``[N, row_bytes(packed_sizes)]``.
        n_id: Flat ids ``[B]``, or ``None`` for all nodes.
        packed_sizes: The alphabets of the positions that are packed; maybe none.
        prefix: What implies the positions before them, or ``None``.

    Raises:
        IndexError: Ids outside ``[0, N)``, on the CPU.
    """
    if prefix is None:
        return unpack_nodes(packed, n_id, packed_sizes)
    told: Tensor = prefix(n_id)
    if not packed_sizes:
        return told
    return torch.cat([told, unpack_nodes(packed, n_id, packed_sizes)], dim=-1)


def check_codebook_sizes(codebook_sizes: Sequence[int]) -> tuple[int, ...]:
    """Check the alphabets of a code.

    Raises:
        TypeError: Something that is not an integer.
        ValueError: No position, or an alphabet below 2 or above 65536.
    """
    sizes = tuple(codebook_sizes)
    if not sizes:
        raise ValueError("codes need at least one position, got no codebook sizes")
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"codebook sizes are integers, got {size!r}")
        if not 2 <= size <= MAX_CODEBOOK_SIZE:
            raise ValueError(
                f"codebook sizes lie in [2, {MAX_CODEBOOK_SIZE}], got {size}"
            )
    return tuple(int(size) for size in sizes)
