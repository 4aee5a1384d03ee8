"""Operation: a function as torch's library of operations has it."""

from collections.abc import Callable
from typing import Any

import torch

from kdgraph import compat

_AUTOCAST_DEVICES = ("cpu", "cuda")


class Operation:
    """A function as an operation of torch: ``torch.ops.kdgraph.NAME``.

    What ``torch.library.custom_op`` does, without the compiler of torch, which that
    imports on the first call: a second and more.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = f"kdgraph::{name}"
        schema = compat.infer_schema(function)
        torch.library.define(self.name, schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(self.name, "CompositeExplicitAutograd", function)
        self.call = getattr(torch.ops.kdgraph, name).default

    def fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Take a function as what tells shape and type without computing."""
        torch.library.register_fake(self.name, function)
        return function

    def differentiate(
        self, backward: Callable[..., Any], keep: Callable[..., None]
    ) -> None:
        """Take a function as the backward pass, and one that keeps what it needs."""
        torch.library.register_autograd(self.name, backward, setup_context=keep)

    def autocast(self, dtype: torch.dtype) -> None:
        """Compute in one type wherever types are chosen by autocast."""
        for device in _AUTOCAST_DEVICES:
            compat.register_autocast(self.call, device, dtype)

    def __call__(self, *arguments: Any) -> Any:
        """Run it, as torch chooses by the tensors."""
        return self.call(*arguments)


def operation(name: str) -> Callable[[Callable[..., Any]], Operation]:
    """Make an operation of the function below."""
    return lambda function: Operation(name, function)
