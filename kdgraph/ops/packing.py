"""Bit packing: rows of small integers to rows of bytes and back."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MAX_CODEBOOK_SIZE = 65536
"""Most choices of a position: a code then takes 16 bits."""


def code_bits(codebook_size: int) -> int:
    r"""Bits one code of an alphabet takes: :math:`\lceil \log_2 K \rceil`, at least 1.

    Example:
        >>> [code_bits(k) for k in (2, 3, 16, 17, 65536)]
        [1, 2, 4, 5, 16]
    """
    return max(1, math.ceil(math.log2(codebook_size)))


def row_bytes(codebook_sizes: Sequence[int]) -> int:
    r"""Bytes of one packed row.

    :math:`\lceil \sum_j \lceil \log_2 K_j \rceil / 8 \rceil`: rows start on a byte, so
    that any row can be read without its neighbours.

    Example:
        >>> row_bytes([32] * 16)
        10
    """
    return (sum(code_bits(size) for size in codebook_sizes) + 7) // 8


def pack(codes: Tensor, codebook_sizes: Sequence[int]) -> Tensor:
    r"""Pack codes into bytes, least significant bit first.

    Position :math:`j` takes the bits :math:`[o_j, o_j + b_j)` of its row, with
    :math:`b_j = \lceil \log_2 K_j \rceil` and :math:`o_j = \sum_{i<j} b_i`.

    Args:
        codes: Integers ``[N, D]``, column ``j`` in ``[0, K_j)``. The range is the
            caller's business: :class:`kdgraph.codes.CodeTable` checks it.
        codebook_sizes: The alphabet of each position, ``D`` of them.

    Returns:
        ``uint8`` of shape ``[N, row_bytes(codebook_sizes)]``.

    Example:
        >>> pack(torch.tensor([[1, 2]]), [16, 16])
        tensor([[33]], dtype=torch.uint8)
    """
    bits = [code_bits(size) for size in codebook_sizes]
    packed = codes.new_zeros(
        (codes.size(0), row_bytes(codebook_sizes)), dtype=torch.int32
    )
    offset = 0
    for position, width in enumerate(bits):
        # A code of at most 16 bits that starts inside a byte ends within three.
        value = codes[:, position].to(torch.int32) << (offset % 8)
        for byte in range((offset % 8 + width + 7) // 8):
            packed[:, offset // 8 + byte] |= (value >> (8 * byte)) & 0xFF
        offset += width
    return packed.to(torch.uint8)


def unpack(packed: Tensor, codebook_sizes: Sequence[int]) -> Tensor:
    r"""Read packed rows back: the inverse of :func:`pack`.

    Args:
        packed: ``uint8`` of shape ``[N, row_bytes(codebook_sizes)]``.
        codebook_sizes: The alphabet of each position, ``D`` of them.

    Returns:
        Codes as ``int64``, shape ``[N, D]``.

    Example:
        >>> unpack(torch.tensor([[33]], dtype=torch.uint8), [16, 16])
        tensor([[1, 2]])
    """
    bits = [code_bits(size) for size in codebook_sizes]
    if all(width == 8 for width in bits):
        return packed.long()
    if all(width == 4 for width in bits):
        nibbles = torch.stack((packed & 0xF, packed >> 4), dim=-1)
        return nibbles.flatten(-2)[..., : len(bits)].long()
    columns = [
        unpack_position(packed, codebook_sizes, position)
        for position in range(len(codebook_sizes))
    ]
    return torch.stack(columns, dim=-1).long()


def unpack_position(
    packed: Tensor, codebook_sizes: Sequence[int], position: int
) -> Tensor:
    """The codes of one position.

    Args:
        packed: ``uint8`` of shape ``[N, row_bytes(codebook_sizes)]``.
        codebook_sizes: The alphabet of each position, ``D`` of them.
        position: Which.

    Returns:
        ``int32`` ``[N]``.

    Example:
        >>> unpack_position(torch.tensor([[33]], dtype=torch.uint8), [16, 16], 1)
        tensor([2], dtype=torch.int32)
    """
    bits = [code_bits(size) for size in codebook_sizes[: position + 1]]
    width = bits.pop()
    first, shift = divmod(sum(bits), 8)
    value = packed[:, first].to(torch.int32)
    if shift:
        value = value >> shift
    for byte in range(1, (shift + width + 7) // 8):
        value = value | (packed[:, first + byte].to(torch.int32) << (8 * byte - shift))
    return value & ((1 << width) - 1) if (shift + width) % 8 else value
