"""Checks of codes that come from elsewhere."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdgraph.ops import code_bits, unpack

# Below 32768 elements torch stays on one thread, which here is faster than waiting for
# others after each of many small steps.
_BLOCK_CODES = 1 << 14


def check_packed(rows: Tensor, sizes: Sequence[int], first: int = 0) -> None:
    """Check packed rows ``[N, row_bytes]``, in blocks.

    Args:
        rows: As :func:`kdgraph.ops.pack` makes them.
        sizes: The alphabet of each position.
        first: Which row the first one is, for the message.

    Raises:
        ValueError: A code above its alphabet, or a bit after the last code.
    """
    used = sum(code_bits(size) for size in sizes) % 8
    if used and bool((rows[:, -1] >> used).any()):
        raise ValueError("there are bits set after the last code of a row")
    if not may_exceed(sizes):
        return
    block = max(1, _BLOCK_CODES // len(sizes))
    for start in range(0, rows.size(0), block):
        codes = unpack(rows[start : start + block], sizes)
        check_code_range(codes, sizes, first + start)


def check_state(
    state: Tensor | None, packed: Tensor, sizes: Sequence[int], owner: str
) -> None:
    """Check the packed codes of a state that is about to be loaded.

    Args:
        state: What the state has, if anything. Codes of another shape are for torch to
            refuse.
        packed: What they take the place of.
        sizes: The alphabet of each position.
        owner: Who loads them, for the message.

    Raises:
        ValueError: A code above its alphabet, or a bit after the last code.
    """
    if state is None or state.is_meta or state.dtype != packed.dtype:
        return
    if state.shape != packed.shape:
        return
    try:
        check_packed(state, sizes)
    except ValueError as error:
        raise ValueError(
            f"{owner} got a state whose codes do not fit K = {tuple(sizes)}: {error}"
        ) from error


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
