"""TensorCache: what was worked out from a tensor, kept for as long as it lives."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch
from torch import Tensor

from kdgraph.compat import version_of, weak_tensor_dictionary

T = TypeVar("T")


class TensorCache(Generic[T]):
    """Keep what follows from a tensor until the tensor dies or is changed.

    Nothing is kept in compiled code. Changes are told by torch's own counter, which
    does not see those made through numpy.

    Example:
        >>> cache: TensorCache[int] = TensorCache()
        >>> tensor = torch.tensor([1, 2])
        >>> cache.get(tensor, "sum", lambda: int(tensor.sum()))
        3
        >>> cache.get(tensor, "sum", lambda: -1)
        3
        >>> _ = tensor.add_(1)
        >>> cache.get(tensor, "sum", lambda: int(tensor.sum()))
        5
    """

    def __init__(self) -> None:
        self._kept = weak_tensor_dictionary()

    def get(self, tensor: Tensor, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under a key, or else what ``make`` gives, which is kept.

        Args:
            tensor: Where it comes from; what is kept must not refer to it.
            key: Tells apart what comes from the same tensor.
            make: Works it out.
        """
        if torch.compiler.is_compiling() or tensor.is_inference():
            return make()
        stamp = _stamp(tensor)
        kept = self._kept.get(tensor)
        if kept is None or kept[0] != stamp:
            kept = stamp, {}
            self._kept[tensor] = kept
        values: dict[Hashable, T] = kept[1]
        if key not in values:
            with lasting():
                values[key] = make()
        return values[key]


def lasting() -> AbstractContextManager[object]:
    """Leave inference mode, whose tensors no later training could use."""
    if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
        return torch.inference_mode(mode=False)
    return nullcontext()


def _stamp(tensor: Tensor) -> tuple[int, ...]:
    """Numbers that differ once the tensor was changed."""
    if tensor.layout == torch.sparse_csr:
        parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    elif tensor.layout == torch.strided:
        parts = [tensor]
    else:
        return (version_of(tensor),)
    return tuple(
        number for part in parts for number in (version_of(part), part.data_ptr())
    )
