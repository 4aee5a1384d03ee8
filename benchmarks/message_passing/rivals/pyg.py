"""PyG's GCNConv on a float table: a layer with its linear map, forward."""

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv
from typing_extensions import override

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import (
    Rival,
    graph_bytes,
    output_bytes,
    table_bytes,
)
from benchmarks.message_passing.roofline import Work, aggregation
from benchmarks.message_passing.setting import Setting

INT64_EDGE = 20
"""Bytes of an edge as PyG's ``edge_index`` with a float32 weight."""


def gcn_conv(inputs: Inputs) -> GCNConv:
    """A layer as wide as it is deep, with the weight that every layer here has."""
    channels = inputs.setting.channels
    conv = GCNConv(channels, channels, normalize=False, bias=False)
    with torch.no_grad():
        conv.lin.weight.copy_(inputs.linear(0, channels, channels))
    return conv


def with_linear(work: Work, setting: Setting) -> Work:
    """The work of an aggregation with a linear map before or behind it.

    Its input is read and its output written; the other side is the aggregation's.
    """
    floats = setting.num_nodes * setting.channels
    return work.plus(adds=floats * setting.channels, linear_map=8 * floats)


class _Layer(Rival):
    suites = ("forward",)
    baseline = "kdgraph-layer"
    prefix = "mapped "

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        # The rows behind the linear map.
        return output_bytes(setting)


class GCNConvCSR(_Layer):
    """With ``adj_t``, as PyG recommends it on a CPU."""

    name = "pyg-csr"
    label = "PyG GCNConv, CSR"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency, self.table = inputs.adjacency(), inputs.table()
        self.conv = gcn_conv(inputs)

    @override
    def run(self) -> Tensor:
        output: Tensor = self.conv(self.table, self.adjacency)
        return output

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | table_bytes(setting)

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return with_linear(aggregation(setting, 4 * setting.channels), setting)


class GCNConvEdges(_Layer):
    """With ``edge_index``: a message per edge is written, weighed and added up."""

    name = "pyg-edges"
    label = "PyG GCNConv, edge_index"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.edge_index, self.weight = inputs.edge_index(), inputs.weight
        self.table = inputs.table()
        self.conv = gcn_conv(inputs)

    @override
    def run(self) -> Tensor:
        output: Tensor = self.conv(self.table, self.edge_index, self.weight)
        return output

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        edges = {"edge_index": 16 * setting.num_edges, "weights": 4 * setting.num_edges}
        return edges | table_bytes(setting)

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        # Messages as gathered, and as weighed.
        messages = 2 * 4 * setting.num_edges * setting.channels
        return super().temporary(setting) + messages

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        work = aggregation(setting, 4 * setting.channels, edge=INT64_EDGE)
        # Written, read, written weighed, and read to be added.
        messages = 4 * 4 * setting.num_edges * setting.channels
        return with_linear(work, setting).plus(messages=messages)


class GCNConvCompiled(GCNConvEdges):
    """The same under ``torch.compile``, which gathers and weighs in one go."""

    name = "pyg-compiled"
    label = "PyG GCNConv, torch.compile"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.conv = torch.compile(self.conv, dynamic=False)

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        messages = 4 * setting.num_edges * setting.channels
        return output_bytes(setting) + messages

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        work = aggregation(setting, 4 * setting.channels, edge=INT64_EDGE)
        messages = 2 * 4 * setting.num_edges * setting.channels
        return with_linear(work, setting).plus(messages=messages)
