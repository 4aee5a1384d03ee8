"""Random bytes that follow from a seed and the id of a node."""

import torch
from torch import Tensor

_BYTES = 8
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_STEP = 0xD1B54A32D192ED03 - (1 << 64)
_FACTORS = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)
_SHIFTS = 30, 27, 31


def node_bytes(n_id: Tensor, width: int, seed: int | Tensor) -> Tensor:
    """Uniform random bytes for each of some nodes, the same whoever else is among them.

    By the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), applied to the
    node and then to the place of every eight bytes. So parts of a batch that different
    processes work on draw what the whole would.

    Args:
        n_id: Ids ``[B]``.
        width: How many bytes for each.
        seed: Of all of them, a number or an ``int64`` scalar.

    Returns:
        ``uint8`` ``[B, width]``.

    Example:
        >>> drawn = node_bytes(torch.tensor([3, 9]), 4, seed=0)
        >>> bool((drawn[1] == node_bytes(torch.tensor([9]), 4, seed=0)[0]).all())
        True
    """
    if not n_id.numel():
        # Its strides would be none that bytes can be viewed with.
        return torch.empty(0, width, dtype=torch.uint8, device=n_id.device)
    start = seed if isinstance(seed, Tensor) else _signed(seed)
    key = _mix(n_id.long().add(1).mul_(_GOLDEN).add_(start))
    words = -(-width // _BYTES)
    place = torch.arange(1, words + 1, device=n_id.device).mul_(_STEP)
    return _mix(key.unsqueeze(1) + place).view(torch.uint8)[:, :width]


def _mix(x: Tensor) -> Tensor:
    for shift, factor in zip(_SHIFTS, (*_FACTORS, None), strict=True):
        # Shifted in with zeros, as of a number without a sign.
        high = (x >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        x = x.bitwise_xor_(high)
        if factor is not None:
            x = x.mul_(factor)
    return x


def _signed(seed: int) -> int:
    """The number of 64 bits with the same bits and a sign."""
    seed %= 1 << 64
    return seed - (1 << 64) if seed >= 1 << 63 else seed
