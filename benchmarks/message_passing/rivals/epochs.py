"""One training step of a three-layer GCN: codes against a full table, with Adam."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn.models import GCN
from typing_extensions import override

from benchmarks.message_passing.exact import Signature, row_sums
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import (
    Rival,
    code_bytes,
    graph_bytes,
    table_bytes,
)
from benchmarks.message_passing.rivals.layers import coded_encoder
from benchmarks.message_passing.setting import CLASSES, Setting
from kdgraph import Encoder
from kdgraph.baselines import FullEmbedding
from kdgraph.training import TrainConfig
from kdgraph.training.networks import build_gnn, norm_options

LAYERS = 3
_RATE = 0.01


class _Epoch(Rival):
    """Dropout, batch norm and optimiser are those of ``kdgraph train``."""

    suites = ("epoch",)
    baseline = "kdgraph-epoch"
    gradients = True
    encoder: Any

    @staticmethod
    def network(config: TrainConfig) -> nn.Module:
        """The network; here PyG's own, with the options that kdgraph gives its."""
        network: nn.Module = GCN(
            config.dim,
            config.hidden_dim,
            config.num_layers,
            CLASSES,
            dropout=config.dropout,
            norm=config.norm,
            norm_kwargs=norm_options(config),
            normalize=False,
        )
        return network

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency = inputs.adjacency()
        self.y, self.train_idx = inputs.y, inputs.train_idx
        channels = inputs.setting.channels
        config = TrainConfig(
            model="gcn",
            dim=channels,
            hidden_dim=channels,
            num_layers=LAYERS,
            norm="batch_norm",
            dropout=0.5,
        )
        self.gnn: Any = self.network(config)
        self.encoder = self.build()
        convs: Any = self.gnn.convs
        with torch.no_grad():
            for layer, conv in enumerate(convs):
                rows = conv.lin.weight.size(0)
                conv.lin.weight.copy_(inputs.linear(layer, rows, channels))
        learned = [*self.encoder.parameters(), *self.gnn.parameters()]
        self.optimizer = torch.optim.Adam(learned, lr=_RATE)

    def build(self) -> Encoder:
        """What makes the vectors of nodes."""
        raise NotImplementedError

    def features(self) -> Any:
        """What the network is called with."""
        return self.encoder()

    @override
    def run(self) -> Tensor:
        self.optimizer.zero_grad()
        logits = self.gnn(self.features(), self.adjacency)
        seen = self.train_idx
        loss = functional.cross_entropy(logits[seen], self.y[seen])
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()

    @override
    def signature(self, output: Tensor) -> Signature:
        # A loss depends on what dropout drew: compare scores before any step.
        fresh = type(self)(self.inputs)
        fresh.encoder.eval()
        fresh.gnn.eval()
        with torch.no_grad():
            scores = fresh.gnn(fresh.features(), fresh.adjacency)
        return row_sums(self.inputs, scores)

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        # Each layer's linear map, sum, norm, rectifier and dropout, and gradients.
        return 8 * LAYERS * 4 * setting.num_nodes * setting.channels


class _Coded(_Epoch):
    @override
    def build(self) -> Encoder:
        return coded_encoder(self.inputs)

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | code_bytes(setting)


class CodedEpoch(_Coded):
    """The first layer reads codes; all layers are those of ``kdgraph train``."""

    name = "kdgraph-epoch"
    label = "kdgraph codes, kdgraph GCN on CSR"

    @staticmethod
    @override
    def network(config: TrainConfig) -> nn.Module:
        return build_gnn(config, CLASSES)

    @override
    def features(self) -> Any:
        return self.encoder.coded()


class DecodedEpoch(_Coded):
    """Vectors of all nodes are composed at every step; all layers are PyG's."""

    name = "decoded-epoch"
    label = "kdgraph codes, decoded, PyG GCN on CSR"


class TableEpoch(_Epoch):
    """A full table; all layers are PyG's."""

    name = "pyg-epoch"
    label = "full table, PyG GCN on CSR"

    @override
    def build(self) -> Encoder:
        setting = self.inputs.setting
        encoder = FullEmbedding(setting.num_nodes, setting.channels)
        with torch.no_grad():
            self.inputs.decode(encoder.weight)
        return encoder

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | table_bytes(setting)

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        # A gradient and two moments.
        return super().temporary(setting) + 3 * sum(table_bytes(setting).values())


class TableEpochOverCodedLayers(TableEpoch):
    """A full table under the layers of kdgraph: what the codes alone save."""

    name = "table-epoch"
    label = "full table, kdgraph GCN on CSR"

    @staticmethod
    @override
    def network(config: TrainConfig) -> nn.Module:
        return build_gnn(config, CLASSES)
