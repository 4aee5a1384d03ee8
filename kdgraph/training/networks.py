"""PyG's networks, of layers that also take codes."""

from typing import Any

from torch import nn
from torch_geometric.nn.models import GAT, GCN, GIN, MLP, GraphSAGE
from typing_extensions import override

from kdgraph.nn import CodedGATConv, CodedGCNConv, CodedGINConv, CodedSAGEConv


class CodedGCN(GCN):  # type: ignore[misc]
    """:class:`torch_geometric.nn.GCN` of :class:`kdgraph.nn.CodedGCNConv`."""

    @override
    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> Any:
        return CodedGCNConv(in_channels, out_channels, **kwargs)


class CodedGraphSAGE(GraphSAGE):  # type: ignore[misc]
    """:class:`torch_geometric.nn.GraphSAGE` of :class:`kdgraph.nn.CodedSAGEConv`."""

    @override
    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> Any:
        return CodedSAGEConv(in_channels, out_channels, **kwargs)


class CodedGIN(GIN):  # type: ignore[misc]
    """:class:`torch_geometric.nn.GIN` of :class:`kdgraph.nn.CodedGINConv`."""

    @override
    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> Any:
        network = MLP(
            [in_channels, out_channels, out_channels],
            act=self.act,
            act_first=self.act_first,
            norm=self.norm,
            norm_kwargs=self.norm_kwargs,
        )
        return CodedGINConv(network, **kwargs)


class CodedGAT(GAT):  # type: ignore[misc]
    """:class:`torch_geometric.nn.GAT` of :class:`kdgraph.nn.CodedGATConv`."""

    @override
    def init_conv(
        self, in_channels: int, out_channels: int, heads: int = 1, **kwargs: Any
    ) -> Any:
        # The last layer averages its heads, as PyG's does.
        concat = not getattr(self, "_is_conv_to_out", False)
        if concat and out_channels % heads:
            raise ValueError(
                f"GAT expects a width that is divisible by the number of heads, "
                f"{heads}, got {out_channels}"
            )
        return CodedGATConv(
            in_channels,
            out_channels // heads if concat else out_channels,
            heads=heads,
            concat=concat,
            dropout=self.dropout.p,
            **kwargs,
        )


NETWORKS: dict[str, type[nn.Module]] = {
    "gcn": CodedGCN,
    "sage": CodedGraphSAGE,
    "gat": CodedGAT,
    "gin": CodedGIN,
}
"""By the names of the configuration."""


def takes_codes(gnn: nn.Module) -> bool:
    """Whether a network may be given codes in the place of vectors."""
    return isinstance(gnn, tuple(NETWORKS.values()))
