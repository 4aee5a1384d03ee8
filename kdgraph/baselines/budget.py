"""The largest size of a baseline that fits a number of bytes."""

from collections.abc import Callable


def largest_size(
    bytes_of: Callable[[int], int], max_bytes: int, *, owner: str, what: str, most: int
) -> int:
    """The largest size in ``[1, most]`` that takes at most so many bytes.

    Found by bisection, in about ``log2(most)`` calls.

    Args:
        bytes_of: Bytes of a size; more for a larger one, or as many.
        max_bytes: The budget.
        owner: Whose size it is, for the message.
        what: What the size is called.
        most: The largest one that makes sense.

    Raises:
        ValueError: Not even the smallest fits.

    Example:
        >>> rank = lambda r: 4 * (1000 + 64) * r
        >>> largest_size(rank, 20_000, owner="LowRankEmbedding", what="rank", most=64)
        4
    """
    smallest = bytes_of(1)
    if smallest > max_bytes:
        raise ValueError(
            f"{owner} does not fit max_bytes={max_bytes}: {what} 1 takes {smallest} "
            "bytes; allow more"
        )
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        if bytes_of(middle) <= max_bytes:
            low = middle
        else:
            high = middle - 1
    return low
