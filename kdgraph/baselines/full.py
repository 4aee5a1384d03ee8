"""FullEmbedding: the table that codes replace."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.encoder import Encoder, Encoding


class FullEmbedding(Encoder):
    r"""One free vector per node, :math:`E \in \mathbb{R}^{N \times C}`.

    The featureless GNN of Kipf and Welling (ICLR 2017) has identity features, so this
    table is the first weight matrix, and it starts like one: uniform with the variance
    :math:`2 / (N + C)` of Glorot and Bengio (AISTATS 2010).

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        sparse: Sparse gradients for the rows of a mini-batch, as in
            :class:`torch.nn.Embedding`. (default: ``False``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1.

    Example:
        >>> table = FullEmbedding(1000, 64)
        >>> table.inference_bytes(), table.training_bytes("adam")
        (256000, 1024000)
    """

    def __init__(
        self, num_nodes: int, embedding_dim: int, *, sparse: bool = False
    ) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.sparse = sparse
        self.weight = nn.Parameter(torch.empty(self.num_nodes, self.embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        nn.init.xavier_uniform_(self.weight)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        rows: Tensor = self.weight
        if n_id is not None:
            rows = functional.embedding(n_id, rows, sparse=self.sparse)
        return Encoding(rows, rows.new_zeros(()))
