"""PackedSelection: hard codes that stay packed until something wants integers."""

from torch import Tensor

from kdgraph.ops.arguments import PackedCodes
from kdgraph.ops.codebooks import Codebooks
from kdgraph.ops.packing import unpack
from kdgraph.ops.selection import Readable, Selection


class PackedSelection(Selection):
    """Hard codes as they are stored, which nothing learns to choose.

    Args:
        table: Packed rows.

    Example:
        >>> import torch
        >>> from kdgraph.ops import pack
        >>> packed = pack(torch.tensor([[1, 2]]), [16, 16])
        >>> PackedSelection(PackedCodes(packed, (16, 16))).codes
        tensor([[1, 2]])
    """

    table: PackedCodes
    _unpacked: Tensor | None

    def __init__(self, table: PackedCodes) -> None:
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "_unpacked", None)
        object.__setattr__(self, "scale", None)
        object.__setattr__(self, "dropped", 0.0)

    @property
    def codes(self) -> Tensor:
        """The codes as integers, ``[B, D]``, unpacked once."""
        # Not a cached_property: its lock (Python 3.11) cannot be compiled.
        codes = self._unpacked
        if codes is None:
            codes = unpack(self.table.packed, self.table.codebook_sizes)
            object.__setattr__(self, "_unpacked", codes)
        return codes

    def readable(self, codebooks: Codebooks) -> Readable:
        """The packed rows themselves."""
        return self.table, codebooks

    def echo(self, codebooks: Codebooks, *, additive: bool) -> None:  # noqa: ARG002
        """Nothing chose these codes."""
        return

    def drop(self, probability: float, n_id: Tensor | None = None) -> Selection:
        """Drop whole positions; see :meth:`Selection.drop`."""
        return Selection(self.codes).drop(probability, n_id)
