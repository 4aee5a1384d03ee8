"""The largest size of a baseline that fits a number of bytes."""

import math
from collections.abc import Callable
from numbers import Real

from kdgraph.encoder import positive_int


def check_budget(
    max_bytes: float, num_nodes: int, embedding_dim: int, *, owner: str
) -> None:
    """Check what a baseline is to be fitted to, before any size is looked for.

    Whether the smallest size fits is for the search to say.

    Args:
        max_bytes: The budget.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        owner: Whose sizes they are, for the message.

    Raises:
        TypeError: A budget that is no number, or N or C no integer.
        ValueError: A budget that is not a number, or N or C below 1.

    Example:
        >>> check_budget(1000, 0, 64, owner="HashingEmbedding")
        Traceback (most recent call last):
        ValueError: HashingEmbedding expects num_nodes of at least 1, got 0
    """
    positive_int(num_nodes, "num_nodes", owner)
    positive_int(embedding_dim, "embedding_dim", owner)
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, Real):
        raise TypeError(
            f"{owner} expects max_bytes as a number, got {max_bytes!r} of type "
            f"{type(max_bytes).__name__}"
        )
    if math.isnan(max_bytes):
        raise ValueError(f"{owner} expects max_bytes as a number of bytes, got nan")


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
