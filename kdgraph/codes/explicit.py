"""Packed rows of nodes, with the positions that an order implies spelled out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.codes.prefix import Prefix
from kdgraph.codes.table import CodeTable, read_codes
from kdgraph.compat import version_of
from kdgraph.ops import PackedCodes, pack
from kdgraph.ops.tensor_cache import lasting


class ExplicitCodes(nn.Module):
    """Packed codes of all nodes, spelled out once and kept until they change.

    Layers over codes read all of them in every step. The copy belongs to the module
    that holds the codes: it is a buffer that no state dict has, goes where the module
    goes, and is among the bytes that training takes.
    """

    rows: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", None, persistent=False)
        self._stamp: tuple[int, ...] = ()

    def forward(
        self,
        packed: Tensor,
        n_id: Tensor | None,
        packed_sizes: Sequence[int],
        prefix: Prefix | None,
    ) -> PackedCodes:
        """Rows as :func:`explicit_rows` gives them; those of all nodes are kept."""
        if prefix is None or n_id is not None or torch.compiler.is_compiling():
            return explicit_rows(packed, n_id, packed_sizes, prefix)
        stamp = _stamp(packed, prefix)
        if self.rows is None or stamp != self._stamp:
            with lasting():
                self.rows = explicit_rows(packed, None, packed_sizes, prefix).packed
            self._stamp = stamp
        return PackedCodes(self.rows, (*prefix.codebook_sizes, *packed_sizes))


def explicit_rows(
    packed: Tensor,
    n_id: Tensor | None,
    packed_sizes: Sequence[int],
    prefix: Prefix | None,
) -> PackedCodes:
    """Rows of packed codes, as they are where that is possible.

    Args:
        packed: ``uint8`` ``[N, row_bytes(packed_sizes)]``.
        n_id: Flat ids ``[B]``, or ``None`` for all nodes: without a prefix that is
            ``packed`` itself.
        packed_sizes: The alphabets of the positions that are packed; maybe none.
        prefix: What implies the positions before them, or ``None``.

    Raises:
        IndexError: Ids outside ``[0, N)``, on the CPU.
    """
    if prefix is None:
        # Not an index_select: compiled, that takes negative ids for ids from the end.
        rows = packed if n_id is None else functional.embedding(n_id, packed)
        return PackedCodes(rows, tuple(packed_sizes))
    sizes = (*prefix.codebook_sizes, *packed_sizes)
    if n_id is None:
        return PackedCodes(CodeTable(packed, sizes, prefix).explicit().packed, sizes)
    return PackedCodes(
        pack(read_codes(packed, n_id, packed_sizes, prefix), sizes), sizes
    )


def _stamp(packed: Tensor, prefix: Prefix) -> tuple[int, ...]:
    """Numbers that differ once codes were changed, or stand elsewhere."""
    tensors = [packed, prefix.boundaries]
    if prefix.places is not None:
        tensors.append(prefix.places.packed)
    # Tensors of inference mode count no versions, and are not changed outside of it.
    return tuple(
        number
        for tensor in tensors
        for number in (
            tensor.data_ptr(),
            0 if tensor.is_inference() else version_of(tensor),
        )
    )
