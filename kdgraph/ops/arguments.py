"""What the operations over codes are given, looked at as far as types and shapes go."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kdgraph.ops.codebooks import Codebooks
from kdgraph.ops.packing import row_bytes

_CODES = (torch.uint8, torch.int16, torch.int32, torch.int64)
_INDICES = (torch.int32, torch.int64)


class PackedCodes(NamedTuple):
    """Rows of packed codes, read as they are.

    Args:
        packed: ``uint8`` ``[N, row_bytes(codebook_sizes)]``, as
            :func:`kdgraph.ops.pack` gives it.
        codebook_sizes: The alphabet of each position.
    """

    packed: Tensor
    codebook_sizes: tuple[int, ...]


class HasPackedCodes(Protocol):
    """What has packed rows, such as a :class:`kdgraph.codes.CodeTable`."""

    @property
    def packed(self) -> Tensor:
        """``uint8`` ``[N, row_bytes(codebook_sizes)]``."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The alphabet of each position."""


class Rows(NamedTuple):
    """Codes and codebooks as the registered operations take them."""

    codes: Tensor
    codebooks: Tensor
    sizes: Sequence[int]
    packed: bool


def given_rows(
    codes: Tensor | HasPackedCodes,
    codebooks: Tensor | Codebooks,
    compose: str,
    owner: str,
) -> Rows:
    """Codes and codebooks, in one piece, once types and shapes fit together.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together, or codes that are not stored.
    """
    if compose not in ("concat", "sum"):
        raise ValueError(f"{owner} expects compose 'concat' or 'sum', got {compose!r}")
    flat, sizes = _flat(codebooks, owner)
    if isinstance(codes, Tensor):
        if codes.dtype not in _CODES:
            raise TypeError(
                f"{owner} expects codes as uint8, int16, int32 or int64, or packed as "
                f"a CodeTable, got {codes.dtype}"
            )
        if codes.dim() != 2 or codes.size(1) != len(sizes):
            raise ValueError(
                f"{owner} got codes of shape {list(codes.shape)} for {len(sizes)} "
                f"codebooks, expected [N, {len(sizes)}]"
            )
        return Rows(codes.contiguous(), flat, sizes, packed=False)
    if not (hasattr(codes, "packed") and hasattr(codes, "codebook_sizes")):
        raise TypeError(
            f"{owner} expects codes as a tensor or a CodeTable, got "
            f"{type(codes).__name__}"
        )
    packed, given = codes.packed, codes.codebook_sizes
    if getattr(codes, "prefix", None) is not None:
        raise ValueError(
            f"{owner} reads codes that are stored, got some that the order of nodes "
            "tells; pass the table's explicit() codes"
        )
    if tuple(given) != tuple(sizes):
        raise ValueError(
            f"{owner} got codes with K = {tuple(given)} and codebooks with K = "
            f"{tuple(sizes)}"
        )
    if packed.dtype != torch.uint8 or packed.shape[1:] != (row_bytes(given),):
        raise ValueError(
            f"{owner} expects packed codes as uint8 [N, {row_bytes(given)}], got "
            f"{packed.dtype} {list(packed.shape)}"
        )
    return Rows(packed.contiguous(), flat, sizes, packed=True)


def _flat(codebooks: Tensor | Codebooks, owner: str) -> tuple[Tensor, Sequence[int]]:
    """Codewords on one axis, ``[R, S]``, and the alphabets."""
    sizes: Sequence[int]
    if isinstance(codebooks, Codebooks):
        flat, sizes = codebooks.weight, codebooks.sizes
        scale = codebooks.scale
        if flat.dim() != 2 or flat.size(0) not in (sum(sizes), max(sizes)):
            raise ValueError(
                f"{owner} expects codebooks [{sum(sizes)}, S], or [{max(sizes)}, S] "
                f"shared by all positions, got shape {list(flat.shape)}"
            )
        if scale is not None:
            flat = codebooks.dequantized()
    elif not isinstance(codebooks, Tensor):
        raise TypeError(
            f"{owner} expects codebooks as a tensor [D, K, S] or as Codebooks, got "
            f"{type(codebooks).__name__}"
        )
    elif codebooks.dim() != 3 or 0 in codebooks.shape:
        raise ValueError(
            f"{owner} expects codebooks [D, K, S] with D, K and S of at least 1, got "
            f"shape {list(codebooks.shape)}; alphabets of different size go into "
            "Codebooks"
        )
    else:
        flat = codebooks.flatten(0, 1)
        sizes = [codebooks.size(1)] * codebooks.size(0)
    if not flat.is_floating_point():
        raise TypeError(
            f"{owner} expects codebooks of a floating-point type, or int8 Codebooks "
            f"with a scale, got {flat.dtype}"
        )
    return flat.contiguous(), sizes


def check_index(index: Tensor, name: str, owner: str) -> None:
    """Check a list of nodes or pointers.

    Raises:
        TypeError: Not a tensor of int32 or int64.
        ValueError: More than one axis.
    """
    if not isinstance(index, Tensor) or index.dtype not in _INDICES:
        kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise TypeError(f"{owner} expects {name} as int32 or int64, got {kind}")
    if index.dim() != 1:
        raise ValueError(
            f"{owner} expects {name} of one axis, got shape {list(index.shape)}"
        )


def check_weight(weight: Tensor, col: Tensor, owner: str) -> Tensor:
    """Check weights of edges, and give them in one piece.

    Raises:
        TypeError: Not a tensor of floating-point numbers.
        ValueError: Not one per edge.
    """
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"{owner} expects weight of a floating-point type, got {kind}")
    if weight.shape != col.shape:
        raise ValueError(
            f"{owner} expects a weight per edge, {list(col.shape)}, got shape "
            f"{list(weight.shape)}"
        )
    return weight.contiguous()


def given_edges(
    rowptr: Tensor, col: Tensor, weight: Tensor | None, owner: str
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Edges, in one piece, once types and shapes fit together.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together.
    """
    check_index(rowptr, "rowptr", owner)
    check_index(col, "col", owner)
    if rowptr.numel() == 0:
        raise ValueError(
            f"{owner} expects rowptr [M + 1] with at least its first entry, 0, got an "
            "empty one"
        )
    if weight is not None:
        weight = check_weight(weight, col, owner)
    return rowptr.contiguous(), col.contiguous(), weight
