"""CodedGATConv: PyG's graph attention, over codes."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.typing import Adj, OptTensor, Size
from torch_geometric.utils import (
    add_self_loops,
    is_torch_sparse_tensor,
    remove_self_loops,
)
from typing_extensions import override

from kdgraph.coded_features import CodedFeatures
from kdgraph.compat import set_sparse_value
from kdgraph.nn.adjacency import to_csr
from kdgraph.nn.over_codes import (
    Features,
    OverCodes,
    coded_pair,
    decoded,
    graph_size,
    mapped,
    weight_of,
)
from kdgraph.ops import Csr


class CodedGATConv(OverCodes, GATConv):  # type: ignore[misc]
    r"""Graph attention (Velickovic et al., ICLR 2018), over codes or vectors.

    :class:`torch_geometric.nn.GATConv`, whose arguments, parameters and results it has,
    that also takes ``encoder.coded(n_id)`` in the place of x, or of either of a pair;
    see :class:`CodedGCNConv`. The scores of a node factor over its codes,

    .. math:: a^\top W x_u = \sum_j T_j[k_{u,j}] + t

    with tables of :math:`\sum_j K_j` numbers a head, and each head's messages are
    summed off the codes with that head's attention as weights.

    Args:
        in_channels: Width C of the vectors, or a pair; -1 to take those of the first.
        out_channels: Width of each head's result.
        heads: Number of heads. (default: ``1``)
        **kwargs: See :class:`torch_geometric.nn.GATConv`.

    Shapes:
        - **x:** codes of N nodes, vectors ``[N, C]``, or a pair of sources and targets,
          whose second may be ``None``
        - **edge_index:** ``[2, E]``, ``EdgeIndex``, or ``torch.sparse`` CSR ``[M, N]``
          with targets in rows; other sparse forms are decoded
        - **edge_attr:** ``[E, edge_dim]`` *(optional)*
        - **output:** ``[M, heads * out_channels]``, or with ``concat=False`` ``[M,
          out_channels]``

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(3, 8, num_codebooks=4, codebook_size=2)
        >>> conv = CodedGATConv(8, 16, heads=2)
        >>> conv(encoder.coded(), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 32])
    """

    @override
    def forward(
        self,
        x: Any,
        edge_index: Adj,
        edge_attr: OptTensor = None,
        size: Size = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Attend to neighbours; see the class."""
        maps = self.lin, self.lin_src, self.lin_dst, self.res
        pair = coded_pair(self, x, edge_index, *maps)
        sparse = is_torch_sparse_tensor(edge_index)
        known = isinstance(edge_index, Tensor) and not (
            sparse and edge_index.layout != torch.sparse_csr
        )
        if pair is None or not known:
            return super().forward(
                decoded(x), edge_index, edge_attr, size, return_attention_weights
            )
        source, target = pair
        edges, edge_attr = self._with_loops(source, target, edge_index, edge_attr, size)
        alpha = self._attention(source, target, edges, edge_attr, size)
        told_by = None if edges is edge_index else (edge_index, "own loops")
        shape = graph_size(self, source, target, edges, size)
        csr = to_csr(edges, None, shape, flow=self.flow, told_by=told_by)
        out = self._sum(source, csr, alpha)
        if target is not None and self.res is not None:
            out = out + mapped(self.res, target)
        if self.bias is not None:
            out = out + self.bias
        if not return_attention_weights:
            return out
        if is_torch_sparse_tensor(edges):
            return out, (set_sparse_value(edges, alpha), alpha)
        return out, (edges, alpha)

    def _with_loops(
        self,
        source: CodedFeatures,
        target: Features | None,
        edge_index: Adj,
        edge_attr: OptTensor,
        size: Size,
    ) -> tuple[Adj, OptTensor]:
        """The graph in which every node that is a source and a target has one loop."""
        if not self.add_self_loops:
            return edge_index, edge_attr
        num_nodes = source.num_nodes
        if target is not None:
            num_nodes = min(num_nodes, target.size(0))
        num_nodes = num_nodes if size is None else min(size)
        edge_index, edge_attr = remove_self_loops(edge_index, edge_attr)
        looped: tuple[Adj, OptTensor] = add_self_loops(
            edge_index, edge_attr, fill_value=self.fill_value, num_nodes=num_nodes
        )
        return looped

    def _attention(
        self,
        source: Features,
        target: Features | None,
        edge_index: Adj,
        edge_attr: OptTensor,
        size: Size,
    ) -> Tensor:
        """Attention of each edge and head, ``[E, heads]``, dropout applied."""
        by_source = self._scores(self.lin_src, self.att_src, source)
        by_target = None
        if target is not None:
            by_target = self._scores(self.lin_dst, self.att_dst, target)
        alpha: Tensor = self.edge_updater(
            edge_index, alpha=(by_source, by_target), edge_attr=edge_attr, size=size
        )
        return alpha

    def _scores(self, own: Any, attention: Tensor, features: Features) -> Tensor:
        """Score of each node and head, ``[N, heads]``, as one linear map."""
        weight = weight_of(self.lin if own is None else own, features)
        by_head = weight.view(self.heads, self.out_channels, -1)
        scores = (by_head * attention.squeeze(0).unsqueeze(-1)).sum(dim=1)
        if isinstance(features, CodedFeatures):
            return features.linear(scores)
        return features @ scores.t()

    def _sum(self, source: CodedFeatures, csr: Csr, alpha: Tensor) -> Tensor:
        """Messages summed with the attention as weights, head by head."""
        weight = weight_of(self.lin if self.lin_src is None else self.lin_src, source)
        by_head = weight.view(self.heads, self.out_channels, -1)
        order = csr.pattern.order
        shares = alpha.t() if order is None else alpha.t()[:, order]
        sums = [
            source.aggregate(Csr(csr.pattern, share), matrix)
            for share, matrix in zip(shares.contiguous(), by_head, strict=True)
        ]
        if self.concat:
            return torch.cat(sums, dim=-1)
        return torch.stack(sums, dim=1).mean(dim=1)
