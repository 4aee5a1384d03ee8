"""Integers of a fixed number of bits, one after the other in a stream of bytes."""

import torch
from torch import Tensor

_CHUNK = 1 << 20
"""Groups of eight packed at once."""


def stream_bytes(count: int, bits: int) -> int:
    r"""Bytes of a stream: :math:`\lceil n b / 8 \rceil` for n integers of b bits.

    Example:
        >>> stream_bytes(3000, 12)
        4500
    """
    return -(-count * bits // 8)


def pack_stream(values: Tensor, bits: int) -> Tensor:
    """Pack integers, the least significant bit first and none left out between them.

    Eight integers of b bits fill b bytes, so that they are packed eight at a time.

    Args:
        values: Integers ``[n]`` in ``[0, 2 ** bits)``; the range is for the caller to
            check.
        bits: From 1 to 56.

    Returns:
        ``uint8`` ``[stream_bytes(n, bits)]``.

    Example:
        >>> pack_stream(torch.tensor([1, 2, 3]), 4).tolist()
        [33, 3]
    """
    parts = []
    for part in torch.split(values, 8 * _CHUNK):
        padded = part.new_zeros(-(-part.numel() // 8) * 8, dtype=torch.int64)
        padded[: part.numel()] = part
        groups = padded.view(-1, 8)
        packed = groups.new_zeros(groups.size(0), bits)
        for place in range(8):
            first, shift = divmod(place * bits, 8)
            value = groups[:, place] << shift
            for byte in range((shift + bits + 7) // 8):
                packed[:, first + byte] |= (value >> (8 * byte)) & 0xFF
        parts.append(packed.to(torch.uint8).flatten())
    return torch.cat(parts)[: stream_bytes(values.numel(), bits)]


def read_stream(stream: Tensor, index: Tensor, bits: int) -> Tensor:
    """Some integers of a stream, wherever they lie in it.

    Args:
        stream: ``uint8``, as :func:`pack_stream` gives it.
        index: Which, integers of any shape, in range.
        bits: As packed.

    Returns:
        ``int64``, shaped as ``index``.

    Example:
        >>> stream = pack_stream(torch.tensor([1, 2, 3]), 4)
        >>> read_stream(stream, torch.tensor([2, 0]), 4).tolist()
        [3, 1]
    """
    start = index.long() * bits
    first, shift = start >> 3, start & 7
    # Bytes after the last are not needed, and their bits are masked.
    last = stream.numel() - 1
    value = stream[first].long()
    for byte in range(1, (7 + bits + 7) // 8):
        value |= stream[(first + byte).clamp(max=last)].long() << (8 * byte)
    return (value >> shift) & ((1 << bits) - 1)
