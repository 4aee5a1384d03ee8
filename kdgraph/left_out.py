"""LeftOut: notice terms of the loss that no loss takes."""

import warnings

import torch
from torch import Tensor

from kdgraph.compat import transforming


class LeftOut:
    """Warn, once, where vectors are trained and the terms beside them are not.

    Backward passes are seen by hooks; of two encodings the first is judged when the
    second is made, so that a loss may take them in any order. Compiled code is not
    watched.

    Args:
        owner: Whose terms they are, for the warning.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.warned = False
        self._seen: dict[str, bool] = {}

    def watch(self, x: Tensor, penalty: Tensor) -> None:
        """See what becomes of vectors and of their penalty."""
        if torch.compiler.is_compiling() or transforming() or self.warned:
            return
        if self._seen.get("x") and not self._seen.get("penalty"):
            self.warned = True
            warnings.warn(
                f"{self.owner} has terms of the loss that the last loss left out: add "
                "encoding.penalty to it",
                stacklevel=2,
            )
        self._seen = {}
        if x.requires_grad and penalty.requires_grad:
            for name, tensor in (("x", x), ("penalty", penalty)):
                tensor.register_hook(_Mark(self._seen, name))  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: object) -> "LeftOut":
        return LeftOut(self.owner)


class _Mark:
    """A hook that notes that a gradient came by."""

    def __init__(self, seen: dict[str, bool], name: str) -> None:
        self.seen, self.name = seen, name

    def __call__(self, gradient: Tensor) -> None:  # noqa: ARG002
        self.seen[self.name] = True
