"""CodedGINConv: PyG's graph isomorphism layer, over codes."""

from typing import Any

from torch import Tensor
from torch_geometric.nn import GINConv
from torch_geometric.typing import Adj, OptPairTensor, Size
from typing_extensions import override

from kdgraph.coded_features import CodedFeatures
from kdgraph.nn.adjacency import to_csr
from kdgraph.nn.over_codes import (
    OverCodes,
    coded_pair,
    decoded,
    graph_size,
    reduction,
    sum_neighbors,
    sums_faster,
)


class CodedGINConv(OverCodes, GINConv):  # type: ignore[misc]
    r"""The graph isomorphism layer (Xu et al., ICLR 2019), over codes or vectors.

    .. math:: x'_i = h\Bigl((1 + \epsilon) x_i + \sum_{j \in N(i)} x_j\Bigr)

    :class:`torch_geometric.nn.GINConv`, whose arguments, parameters and results it has,
    that also takes ``encoder.coded(n_id)`` in the place of x, or of either of a pair;
    see :class:`CodedGCNConv`. As h is any network, what it gets, ``[M, C]``, is formed.

    Args:
        nn: The network h.
        eps: First :math:`\epsilon`. (default: ``0.0``)
        train_eps: Whether it learns. (default: ``False``)
        **kwargs: See :class:`torch_geometric.nn.GINConv`.

    Shapes:
        - **x:** codes of N nodes, vectors ``[N, C]``, or a pair of sources and targets,
          whose second may be ``None``
        - **edge_index:** ``[2, E]``, ``EdgeIndex``, or ``torch.sparse`` or
          ``torch_sparse.SparseTensor`` ``[M, N]`` with targets in rows
        - **output:** ``[M, H]``

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(3, 8, num_codebooks=4, codebook_size=2)
        >>> conv = CodedGINConv(torch.nn.Linear(8, 16), train_eps=True)
        >>> conv(encoder.coded(), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 16])
    """

    @override
    def forward(self, x: Any, edge_index: Adj, size: Size = None) -> Tensor:
        """Sum over neighbours and apply the network; see the class."""
        pair = coded_pair(self, x, edge_index)
        if pair is None:
            dense: Tensor = super().forward(decoded(x), edge_index, size)
            return dense
        source, target = pair
        shape = graph_size(self, source, target, edge_index, size)
        csr = to_csr(edge_index, None, shape, flow=self.flow)
        out = source.aggregate(csr, None, reduction(self.aggr) or "sum")
        if isinstance(target, CodedFeatures):
            target = target.linear()
        if target is not None:
            out = out + (1 + self.eps) * target
        result: Tensor = self.nn(out)
        return result

    @override
    def message_and_aggregate(self, adj_t: Adj, x: OptPairTensor) -> Tensor:
        """The sum over neighbours in one pass."""
        if sums_faster(adj_t, x[0], self.aggr):
            return sum_neighbors(adj_t, x[0], self.aggr)
        sums: Tensor = super().message_and_aggregate(adj_t, x)
        return sums
