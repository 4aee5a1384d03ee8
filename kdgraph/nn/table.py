"""TableEncoder: a table of PyTorch's own, as an encoder."""

import torch
from torch import Tensor, nn

from kdgraph.encoder import Encoder, Encoding


class TableEncoder(Encoder):
    """A :class:`torch.nn.Embedding`, with all that an encoder has.

    The module itself is kept: its options hold, and whoever else refers to it trains
    the same table.

    Args:
        embedding: The table, ``[N, C]``.

    Example:
        >>> encoder = TableEncoder(nn.Embedding(20, 64))
        >>> encoder().shape, encoder.inference_bytes()
        (torch.Size([20, 64]), 5120)
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(embedding.num_embeddings, embedding.embedding_dim)
        self.embedding = embedding

    def reset_parameters(self) -> None:
        """Draw the table anew, as PyTorch does."""
        self.embedding.reset_parameters()

    def _encode(self, n_id: Tensor | None) -> Encoding:
        weight = self.embedding.weight
        if n_id is None and self.embedding.max_norm is not None:
            n_id = torch.arange(self.num_nodes, device=weight.device)
        x: Tensor = weight if n_id is None else self.embedding(n_id)
        return Encoding(x, x.new_zeros(()))
