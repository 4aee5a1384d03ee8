"""Normalisation of composed vectors."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["batch", "layer"] | None


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that a batch of one row, which has no variance, survives."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Normalise ``[B, C]``; fewer than two rows by the running statistics."""
        if vectors.size(0) < 2:
            return self.by_running_statistics(vectors)
        return super().forward(vectors)

    def by_running_statistics(self, vectors: Tensor) -> Tensor:
        """Normalise as evaluation does, whatever the mode."""
        return functional.batch_norm(
            vectors,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            eps=self.eps,
        )


def make_norm(norm: Norm, dim: int) -> nn.Module:
    """The module of a choice; the identity for ``None``."""
    if norm == "batch":
        return BatchNorm(dim)
    return nn.LayerNorm(dim) if norm == "layer" else nn.Identity()
