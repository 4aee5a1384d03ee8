"""CodedGCNConv: PyG's graph convolution, over codes."""

from typing import Any

from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_sparse
from typing_extensions import override

from kdgraph.coded_features import CodedFeatures
from kdgraph.compat import gcn_norm
from kdgraph.nn.adjacency import remembered, to_csr
from kdgraph.nn.over_codes import (
    OverCodes,
    coded_pair,
    decoded,
    graph_size,
    reduction,
    sum_neighbors,
    sums_faster,
    weight_of,
)
from kdgraph.ops import Csr
from kdgraph.ops.pattern import check_nodes
from kdgraph.ops.tensor_cache import lasting


class CodedGCNConv(OverCodes, GCNConv):  # type: ignore[misc]
    r"""The graph convolution of Kipf and Welling (ICLR 2017), over codes or vectors.

    .. math:: X' = \hat{D}^{-1/2} \hat{A} \hat{D}^{-1/2} X \Theta + b

    :class:`torch_geometric.nn.GCNConv`, whose arguments, parameters and results it has,
    that also takes ``encoder.coded(n_id)`` in the place of x. Where the composition is
    linear in hard codes, messages are then summed off the codes, :math:`\Theta` folded
    into the codebooks or applied to the sums, and the vectors are never formed; see
    :class:`kdgraph.coded_features.CodedFeatures`.

    What follows from the graph alone, normalisation and order of edges, is kept while
    the tensors it comes from live unchanged.

    Args:
        in_channels: Width C of the vectors, -1 to take that of the first.
        out_channels: Width H of the result.
        **kwargs: See :class:`torch_geometric.nn.GCNConv`.

    Shapes:
        - **x:** codes of N nodes, or vectors ``[N, C]``
        - **edge_index:** ``[2, E]``, ``EdgeIndex``, or ``torch.sparse`` or
          ``torch_sparse.SparseTensor`` ``[N, N]`` with targets in rows
        - **edge_weight:** ``[E]`` *(optional)*
        - **output:** ``[N, H]``

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(3, 8, num_codebooks=4, codebook_size=2)
        >>> conv = CodedGCNConv(8, 16)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> conv(encoder.coded(), edge_index).shape
        torch.Size([3, 16])
    """

    _cached_edge_index: tuple[Any, Any] | None
    _cached_adj_t: SparseTensor | None

    @override
    def forward(
        self,
        x: Tensor | CodedFeatures,
        edge_index: Adj,
        edge_weight: OptTensor = None,
    ) -> Tensor:
        """Sum over neighbours and map; see the class."""
        pair = coded_pair(self, x, edge_index, self.lin)
        if pair is None or isinstance(x, tuple | list):
            dense: Tensor = super().forward(decoded(x), edge_index, edge_weight)
            return dense
        weight = weight_of(self.lin, pair[0])
        csr = self._csr(pair[0], edge_index, edge_weight)
        out = pair[0].aggregate(csr, weight, reduction(self.aggr) or "sum")
        return out if self.bias is None else out + self.bias

    @override
    def message_and_aggregate(self, adj_t: Adj, x: Tensor) -> Tensor:
        """The sum over neighbours in one pass."""
        if sums_faster(adj_t, x, self.aggr):
            return sum_neighbors(adj_t, x, self.aggr)
        sums: Tensor = super().message_and_aggregate(adj_t, x)
        return sums

    def _csr(self, x: CodedFeatures, edge_index: Any, edge_weight: Any) -> Csr:
        if not self.normalize:
            return self._plain(x, edge_index, edge_weight)
        if isinstance(edge_index, SparseTensor):
            return self._of_sparse_tensor(x, edge_index)
        size = graph_size(self, x, x, edge_index)
        if self.cached:
            if self._cached_edge_index is None:
                with lasting():
                    kept = self._norm(x, edge_index, edge_weight)
                self._cached_edge_index = kept
            return self._plain(x, *self._cached_edge_index)

        def normalized() -> Csr:
            index, weight = self._norm(x, edge_index, edge_weight)
            told_by = edge_index, ("remaining loops", self.add_self_loops)
            return to_csr(index, weight, size, flow=self.flow, told_by=told_by)

        how = self.improved, self.add_self_loops, self.flow, size, x.dtype
        return remembered([edge_index, edge_weight], ("normalized", *how), normalized)

    def _of_sparse_tensor(self, x: CodedFeatures, adj_t: SparseTensor) -> Csr:
        normalized = self._cached_adj_t
        if normalized is None:
            normalized = self._norm(x, adj_t, None)
            if self.cached:
                self._cached_adj_t = normalized
        return self._plain(x, normalized, None)

    def _plain(self, x: CodedFeatures, edge_index: Any, edge_weight: Any) -> Csr:
        size = graph_size(self, x, x, edge_index)
        if isinstance(edge_index, SparseTensor):
            return to_csr(edge_index, None, size)
        return remembered(
            [edge_index, edge_weight],
            (self.flow, size),
            lambda: to_csr(edge_index, edge_weight, size, flow=self.flow),
        )

    def _norm(self, x: CodedFeatures, edge_index: Any, edge_weight: Any) -> Any:
        if not is_sparse(edge_index):
            check_nodes(edge_index, x.num_nodes, "nodes")
        return gcn_norm(
            edge_index,
            edge_weight,
            x.num_nodes,
            self.improved,
            self.add_self_loops,
            self.flow,
            x.dtype,
        )
