"""Packed rows of some nodes, with the positions that a prefix tells."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from kdgraph.codes.prefix import Prefix
from kdgraph.codes.table import CodeTable, read_codes
from kdgraph.ops import PackedCodes, pack
from kdgraph.ops.tensor_cache import TensorCache

_EXPLICIT: TensorCache[Tensor] = TensorCache()


def explicit_rows(
    packed: Tensor,
    n_id: Tensor | None,
    packed_sizes: Sequence[int],
    prefix: Prefix | None,
) -> PackedCodes:
    """Rows of packed codes, as they are where that is possible.

    Of all nodes with a prefix they are packed once, and kept until ``packed`` changes.

    Args:
        packed: ``uint8`` ``[N, row_bytes(packed_sizes)]``.
        n_id: Flat ids ``[B]``, or ``None`` for all nodes: without a prefix that is
            ``packed`` itself.
        packed_sizes: The alphabets of the positions that are packed; maybe none.
        prefix: What tells the positions before them, or ``None``.

    Raises:
        IndexError: Ids outside ``[0, N)``, on the CPU.
    """
    told = () if prefix is None else prefix.codebook_sizes
    sizes = (*told, *packed_sizes)
    if prefix is None:
        # Not an index_select: compiled, that takes negative ids for ids from the end.
        rows = packed if n_id is None else functional.embedding(n_id, packed)
        return PackedCodes(rows, sizes)
    if n_id is not None:
        return PackedCodes(
            pack(read_codes(packed, n_id, packed_sizes, prefix), sizes), sizes
        )
    boundaries = prefix.boundaries
    key = sizes, prefix.kind, boundaries.data_ptr(), boundaries._version
    return PackedCodes(
        _EXPLICIT.get(
            packed, key, lambda: CodeTable(packed, sizes, prefix).explicit().packed
        ),
        sizes,
    )
