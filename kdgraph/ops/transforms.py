"""Whether a transformation of torch.func is at work."""

from typing import Any

import torch
from torch import Tensor

_FUNCTORCH: Any = getattr(torch._C, "_functorch", None)


def is_mapped(tensor: Tensor) -> bool:
    """Whether ``torch.vmap`` maps over a tensor, so that nothing can see its values."""
    return _FUNCTORCH is not None and bool(_FUNCTORCH.is_batchedtensor(tensor))


def transforming() -> bool:
    """Whether this is within ``grad``, ``vmap`` or another of ``torch.func``."""
    return _FUNCTORCH is not None and _FUNCTORCH.maybe_current_level() is not None
