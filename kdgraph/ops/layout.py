"""Layout: how rows of codes address codebooks, and where codewords land."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdgraph.ops.packing import code_bits, unpack, unpack_position
from kdgraph.ops.positions import position_offsets


@dataclass(frozen=True)
class Layout:
    """What the operations over codes are told beside the tensors.

    Args:
        sizes: The alphabet of each position, ``(K_1, ..., K_D)``.
        packed: Whether rows of codes are packed bits, as :func:`kdgraph.ops.pack` lays
            them out, instead of an integer per position.
        concat: Whether codewords stand side by side; else they are summed.
        shared: Whether all positions read one codebook.
    """

    sizes: tuple[int, ...]
    packed: bool
    concat: bool
    shared: bool

    @classmethod
    def of(
        cls, sizes: Sequence[int], codebooks: Tensor, *, packed: bool, concat: bool
    ) -> "Layout":
        """The layout that flat codebooks ``[R, S]`` imply.

        With more than one position the rows tell whether they are shared:
        ``max(K_j) < sum(K_j)``.
        """
        shared = len(sizes) > 1 and codebooks.size(0) != sum(sizes)
        return cls(tuple(sizes), packed, concat, shared)

    @property
    def num_codebooks(self) -> int:
        """Number of positions D."""
        return len(self.sizes)

    @property
    def num_rows(self) -> int:
        """Rows R of the flat codebooks."""
        return max(self.sizes) if self.shared else sum(self.sizes)

    @property
    def offsets(self) -> list[int]:
        """The first row of each position in the flat codebooks."""
        return [0] * len(self.sizes) if self.shared else position_offsets(self.sizes)

    @property
    def bits(self) -> list[int]:
        """Bits of each position in a packed row."""
        return [code_bits(size) for size in self.sizes]

    def width(self, codeword_width: int) -> int:
        """Width C of a composed vector."""
        return codeword_width * (len(self.sizes) if self.concat else 1)

    def span(self, position: int) -> slice:
        """The rows of the flat codebooks that a position reads."""
        first = self.offsets[position]
        return slice(first, first + self.sizes[position])

    def channels(self, position: int, codeword_width: int) -> slice:
        """Where the codewords of a position land in a vector."""
        first = position * codeword_width if self.concat else 0
        return slice(first, first + codeword_width)

    def column(self, codes: Tensor, position: int) -> Tensor:
        """The codes of one position, ``[B]``: a view, or unpacked to ``int32``."""
        if self.packed:
            return unpack_position(codes, self.sizes, position)
        return codes[:, position]

    def rows(self, codes: Tensor) -> Tensor:
        """Rows of the flat codebooks that are read, ``int32`` ``[B, D]``."""
        codes = unpack(codes, self.sizes) if self.packed else codes
        offsets = torch.tensor(self.offsets, dtype=torch.int32, device=codes.device)
        return codes.int() + offsets
