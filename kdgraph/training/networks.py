"""The network on top: PyG's, of layers that also take codes."""

from typing import Any

from torch import nn
from torch_geometric.nn.models import GAT, GCN, GIN, MLP, GraphSAGE
from typing_extensions import override

from kdgraph.nn import (
    CodedGATConv,
    CodedGCNConv,
    CodedGINConv,
    CodedSAGEConv,
    Dropout,
)
from kdgraph.training.config import TrainConfig

GAT_HEADS = 4


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


def build_gnn(config: TrainConfig, num_outputs: int) -> nn.Module:
    """The network of a resolved configuration: PyG's, and its layers take codes."""
    common: dict[str, Any] = {
        "in_channels": config.dim,
        "hidden_channels": config.hidden_dim,
        "num_layers": config.num_layers,
        "out_channels": num_outputs,
        "dropout": config.dropout,
        "norm": None if config.norm == "none" else config.norm,
        "norm_kwargs": norm_options(config),
    }
    if config.jk not in (None, "none"):
        common["jk"] = config.jk
    if config.model == "sage":
        common["root_weight"] = config.root_weight is not False
    if config.model == "gcn":
        # The adjacency comes normalised: PyG's own way depends on its form.
        common["normalize"] = False
    if config.model == "gat":
        common["heads"] = GAT_HEADS
    if config.model not in NETWORKS:
        raise ValueError(
            f"model {config.model!r} stands for one that fits the labels, which "
            "resolve_config fills in"
        )
    gnn = NETWORKS[config.model](**common)
    gnn.dropout = Dropout(config.dropout or 0.0)
    return gnn


def norm_options(config: TrainConfig) -> dict[str, Any] | None:
    """Options of the normalisation between layers, as PyG takes them."""
    if config.norm == "batch_norm" and not config.by_rows:
        # Codes move so fast that running statistics lag behind them: on ogbn-arxiv they
        # turn a sound epoch into noise at evaluation. All nodes are at hand in full
        # batch, so the statistics are always theirs.
        return {"track_running_stats": False}
    # By default PyG's layer norm is one over all nodes of a graph.
    return {"mode": "node"} if config.norm == "layer_norm" else None
