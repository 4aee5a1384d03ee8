"""Checks of content: checksums, code ranges, finite codewords."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from kdgraph.codes.check import check_packed

UNSIGNED = "0" * 64
"""What stands for the checksum while it is computed."""

CHUNK_BYTES = 1 << 22
"""How much is read at once: little memory, few calls."""

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
                check_packed(rows, sizes, first)
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


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that floating-point tensors hold numbers.

    Raises:
        ValueError: NaN or an infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {name!r} has non-finite values (NaN or infinity)")
