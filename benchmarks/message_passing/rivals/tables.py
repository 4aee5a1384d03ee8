"""Sums of neighbours on a float table, by three kernels, and after decoding."""

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import (
    Rival,
    code_bytes,
    graph_bytes,
    table_bytes,
)
from benchmarks.message_passing.roofline import Work, aggregation
from benchmarks.message_passing.setting import Setting
from kdgraph.ops import neighbor_sum


class _Table(Rival):
    suites = ("forward",)
    baseline = "kdgraph"

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | table_bytes(setting)

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return aggregation(setting, 4 * setting.channels)


class TorchSparse(_Table):
    """What PyG does with a ``torch.sparse`` adjacency: MKL's product."""

    name = "torch-sparse"
    label = "torch.sparse CSR @ table"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency, self.table = inputs.adjacency(), inputs.table()

    @override
    def run(self) -> Tensor:
        return self.adjacency @ self.table


class NeighborSum(_Table):
    """kdgraph's own kernel for layers behind the first."""

    name = "neighbor-sum"
    label = "kdgraph's float kernel"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.graph = (inputs.rowptr, inputs.col, inputs.weight)
        self.table = inputs.table()

    @override
    def run(self) -> Tensor:
        return neighbor_sum(*self.graph, self.table)


class EmbeddingBag(_Table):
    """A target's neighbours as a bag: FBGEMM's generated code behind one call."""

    name = "embedding-bag"
    label = "torch embedding_bag, float32 rows"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.graph = (inputs.rowptr, inputs.col, inputs.weight)
        self.table = inputs.table()

    @override
    def run(self) -> Tensor:
        rowptr, col, weight = self.graph
        return functional.embedding_bag(
            col,
            self.table,
            rowptr,
            mode="sum",
            per_sample_weights=weight,
            include_last_offset=True,
        )


class DecodeThenSparse(Rival):
    """Codes made into a table at every call, which then is multiplied."""

    name = "decode"
    label = "decode, then torch.sparse"
    suites = ("forward",)
    baseline = "kdgraph"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency, self.codes = inputs.adjacency(), inputs.codes
        books = inputs.codebooks
        self.codebooks = books.flatten(0, 1)
        self.offsets = torch.arange(len(books), dtype=torch.int32) * books.size(1)

    @override
    def run(self) -> Tensor:
        rows = self.codes + self.offsets
        table = functional.embedding(rows, self.codebooks).flatten(1)
        return self.adjacency @ table

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | code_bytes(setting)

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        flat = 4 * setting.num_nodes * setting.num_codebooks
        return flat + sum(table_bytes(setting).values())

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return aggregation(setting, 4 * setting.channels).plus(
            codes=setting.num_nodes * setting.num_codebooks,
            table=4 * setting.num_nodes * setting.channels,
        )
