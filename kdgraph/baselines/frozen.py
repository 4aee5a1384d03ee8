"""FrozenEmbedding: vectors that are given, and stay."""

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.encoder import Encoder, Encoding


class FrozenEmbedding(Encoder):
    """Given vectors, none of them trained: a model learns on top of them alone.

    For vectors that were found without the task, as
    :func:`kdgraph.codes.deepwalk_vectors` finds them. It takes 4 N C bytes in float32,
    as many as the full table, but no gradients and no optimizer state.

    Args:
        vectors: ``[N, C]``, floating point; kept without a copy.

    Raises:
        TypeError: Vectors that are not a floating point tensor.
        ValueError: Vectors that are not ``[N, C]`` or not finite.

    Example:
        >>> encoder = FrozenEmbedding(torch.eye(3))
        >>> encoder(torch.tensor([2]))
        tensor([[0., 0., 1.]])
        >>> encoder.inference_bytes(), encoder.training_bytes("adam")
        (36, 36)
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        if not isinstance(vectors, Tensor) or not vectors.is_floating_point():
            kind = vectors.dtype if isinstance(vectors, Tensor) else type(vectors)
            raise TypeError(
                f"FrozenEmbedding expects a floating point tensor, got {kind}"
            )
        if vectors.dim() != 2 or vectors.numel() == 0:
            raise ValueError(
                "FrozenEmbedding expects vectors [N, C] with N and C of at least 1, "
                f"got shape {tuple(vectors.shape)}"
            )
        if not vectors.is_meta and not bool(
            vectors.sum(dtype=torch.float64).isfinite()
        ):
            raise ValueError(
                "FrozenEmbedding expects finite vectors, got NaN or infinity among them"
            )
        super().__init__(vectors.size(0), vectors.size(1))
        self.register_buffer("vectors", vectors.detach())

    def reset_parameters(self) -> None:
        """Nothing is learned: the vectors stay."""

    def _encode(self, n_id: Tensor | None) -> Encoding:
        x = self.vectors
        if n_id is not None:
            x = functional.embedding(n_id, x)
        return Encoding(x, x.new_zeros(()))
