"""A linear map that computes with its weights as they are stored."""

from torch import Tensor, nn
from torch.nn import functional

from kdgraph.ops import Storage, as_stored


class StoredLinear(nn.Linear):
    """A linear map, its matrix rounded with one scale, its bias to bfloat16.

    Args:
        in_features: Width of what comes in.
        out_features: Width of what goes out.
        storage: How the weights are kept; ``None`` rounds nothing.
    """

    def __init__(self, in_features: int, out_features: int, storage: Storage) -> None:
        super().__init__(in_features, out_features)
        self.storage = storage

    def rounded(self) -> tuple[Tensor, Tensor]:
        """Matrix and bias as they will be read back."""
        rows = (self.out_features,)
        return (
            as_stored(self.weight, self.storage, rows),
            as_stored(self.bias, self.storage, rows),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``[*, in_features]`` to ``[*, out_features]``."""
        return functional.linear(vectors, *self.rounded())
