"""Orders of nodes, and back."""

import torch
from torch import Tensor


def inverse_order(order: Tensor) -> Tensor:
    """The place of each node in an order.

    Args:
        order: The node at each place, ``[N]``: every one of 0 to N - 1 once.

    Returns:
        ``[N]``, ``int32`` where that is enough and else ``int64``.

    Raises:
        TypeError: Not integers.
        ValueError: Not ``[N]``, or a node that is missing.

    Example:
        >>> inverse_order(torch.tensor([2, 0, 1]))
        tensor([1, 2, 0], dtype=torch.int32)
    """
    if order.is_floating_point() or order.is_complex() or order.dtype == torch.bool:
        raise TypeError(f"an order of nodes is of integers, got {order.dtype}")
    if order.dim() != 1 or order.numel() == 0:
        raise ValueError(
            f"an order of nodes is [N] with N of at least 1, got shape "
            f"{tuple(order.shape)}"
        )
    count = order.numel()
    if int(order.min()) < 0 or int(order.max()) >= count:
        raise ValueError(
            f"an order of {count} nodes holds 0 to {count - 1}, got "
            f"{int(order.min())} to {int(order.max())}"
        )
    dtype = torch.int32 if count <= torch.iinfo(torch.int32).max else torch.int64
    places = torch.full((count,), -1, dtype=dtype, device=order.device)
    places[order.long()] = torch.arange(count, dtype=dtype, device=order.device)
    missing = places < 0
    if bool(missing.any()):
        raise ValueError(
            f"an order of {count} nodes holds each once, got none at "
            f"{int(missing.nonzero()[0])}"
        )
    return places
