"""CodedSAGEConv: PyG's GraphSAGE layer, over codes."""

from typing import Any

from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import SAGEConv
from torch_geometric.typing import Adj, OptPairTensor, Size
from typing_extensions import override

from kdgraph.nn.adjacency import to_csr
from kdgraph.nn.over_codes import (
    OverCodes,
    coded_pair,
    decoded,
    graph_size,
    mapped,
    reduction,
    sum_neighbors,
    sums_faster,
    weight_of,
)


class CodedSAGEConv(OverCodes, SAGEConv):  # type: ignore[misc]
    r"""GraphSAGE (Hamilton, Ying, Leskovec, NeurIPS 2017), over codes or vectors.

    .. math:: x'_i = W_1 x_i + W_2 \, \mathrm{mean}_{j \in N(i)} x_j + b

    :class:`torch_geometric.nn.SAGEConv`, whose arguments, parameters and results it
    has, that also takes ``encoder.coded(n_id)`` in the place of x, or of either of a
    pair; see :class:`CodedGCNConv`. Codes are read for ``aggr`` of ``"mean"`` and
    ``"sum"`` and without ``project``; else they are decoded.

    Args:
        in_channels: Width C of the vectors, or a pair; -1 to take those of the first.
        out_channels: Width H of the result.
        **kwargs: See :class:`torch_geometric.nn.SAGEConv`.

    Shapes:
        - **x:** codes of N nodes, vectors ``[N, C]``, or a pair of sources and targets,
          whose second may be ``None``
        - **edge_index:** ``[2, E]``, ``EdgeIndex``, or ``torch.sparse`` or
          ``torch_sparse.SparseTensor`` ``[M, N]`` with targets in rows
        - **output:** ``[M, H]``

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=2)
        >>> conv = CodedSAGEConv(8, 16)
        >>> source = encoder.coded(torch.tensor([7, 2, 5]))
        >>> target = encoder.coded(torch.tensor([7, 2]))
        >>> conv((source, target), torch.tensor([[1, 2], [0, 1]])).shape
        torch.Size([2, 16])
    """

    @override
    def forward(self, x: Any, edge_index: Adj, size: Size = None) -> Tensor:
        """Average over neighbours and map; see the class."""
        root = self.lin_r if self.root_weight else None
        pair = coded_pair(self, x, edge_index, self.lin_l, root)
        if pair is None or self.project:
            dense: Tensor = super().forward(decoded(x), edge_index, size)
            return dense
        source, target = pair
        shape = graph_size(self, source, target, edge_index, size)
        csr = to_csr(edge_index, None, shape, flow=self.flow)
        weight = weight_of(self.lin_l, source)
        out = source.aggregate(csr, weight, reduction(self.aggr) or "sum")
        if self.lin_l.bias is not None:
            out = out + self.lin_l.bias
        if root is not None and target is not None:
            out = out + mapped(root, target)
        return functional.normalize(out, p=2.0, dim=-1) if self.normalize else out

    @override
    def message_and_aggregate(self, adj_t: Adj, x: OptPairTensor) -> Tensor:
        """The sum over neighbours in one pass."""
        if sums_faster(adj_t, x[0], self.aggr):
            return sum_neighbors(adj_t, x[0], self.aggr)
        sums: Tensor = super().message_and_aggregate(adj_t, x)
        return sums
