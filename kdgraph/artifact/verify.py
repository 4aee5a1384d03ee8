"""Checks of content: checksums, code ranges, finite codewords."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from kdgraph.ops import code_bits, unpack

UNSIGNED = "0" * 64
"""What stands for the checksum while it is computed."""

CHUNK_BYTES = 1 << 22
"""How much is read at once: little memory, few calls."""

# Below 32768 elements torch stays on one thread, which here is faster than waiting for
# others after each of many small steps.
_BLOCK_CODES = 1 << 14
_FIELD = '"sha256":"%s"'


def signed(header: bytes, old: str, new: str) -> bytes:
    """Replace the checksum in a header.

    Quotes inside of JSON strings are escaped, so the field is found nowhere else.

    Raises:
        ValueError: It does not hold the old one exactly once.
    """
    field = (_FIELD % old).encode()
    if header.count(field) != 1:
        raise ValueError("its header is not formatted as kdgraph writes it")
    return header.replace(field, (_FIELD % new).encode())


def unsigned(header: bytes, digest: str) -> bytes:
    """The header that the checksum covers: with zeros in its place."""
    return signed(header, digest, UNSIGNED)


def check_codes(
    chunks: Iterable[tuple[int, Tensor]], sizes: Sequence[int], digest: str | None
) -> str:
    """Hash packed rows and check every code in them, chunk by chunk.

    Args:
        chunks: First node and rows ``[n, row_bytes]`` on the CPU, in order.
        sizes: The alphabet of each position.
        digest: The expected SHA-256, or ``None``.

    Returns:
        The SHA-256 of the rows.

    Raises:
        ValueError: Another checksum, a code above its alphabet, a stray bit.
    """
    fault: ValueError | None = None
    found = hashlib.sha256()
    for first, rows in chunks:
        found.update(rows.numpy().data)
        try:
            if fault is None:
                _check_rows(rows, sizes, first)
        except ValueError as error:
            fault = error
    if digest is not None and found.hexdigest() != digest:
        # Told first: damage is the cause, and a wrong code only its effect.
        raise ValueError(
            "the checksum of its codes does not match: the file is damaged"
        )
    if fault is not None:
        raise fault
    return found.hexdigest()


def _check_rows(rows: Tensor, sizes: Sequence[int], first: int) -> None:
    used = sum(code_bits(size) for size in sizes) % 8
    if used and bool((rows[:, -1] >> used).any()):
        raise ValueError("it has bits set after the last code of a row")
    if not may_exceed(sizes):
        return
    block = max(1, _BLOCK_CODES // len(sizes))
    for start in range(0, rows.size(0), block):
        codes = unpack(rows[start : start + block], sizes)
        check_code_range(codes, sizes, first + start)


def may_exceed(sizes: Sequence[int]) -> bool:
    """Whether packed bits can spell a code above its alphabet.

    Example:
        >>> may_exceed([16, 256]), may_exceed([16, 100])
        (False, True)
    """
    return any(size & (size - 1) for size in sizes)


def check_code_range(codes: Tensor, sizes: Sequence[int], first: int = 0) -> None:
    """Check codes ``[B, D]`` against their alphabets.

    Args:
        codes: Integers.
        sizes: The alphabet of each position, ``D`` of them.
        first: Which row the first one is, for the message.

    Raises:
        ValueError: A code above its alphabet, which would read another position's
            codeword.

    Example:
        >>> check_code_range(torch.tensor([[1, 2], [0, 5]]), [3, 5])
        Traceback (most recent call last):
        ValueError: row 1 has the code 5 at position 1, expected below 5
    """
    above = codes >= torch.tensor(sizes, device=codes.device)
    if bool(above.any()):
        row, position = above.nonzero()[0].tolist()
        raise ValueError(
            f"row {first + row} has the code {int(codes[row, position])} at position "
            f"{position}, expected below {sizes[position]}"
        )


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that floating-point tensors hold numbers.

    Raises:
        ValueError: NaN or an infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {name!r} has non-finite values (NaN or infinity)")
