"""Sums of neighbours on rows of 8 or 4 bits, each with a scale and a shift."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import Rival, graph_bytes
from benchmarks.message_passing.roofline import Work, aggregation
from benchmarks.message_passing.setting import Setting


class _Rows(Rival):
    suites = ("forward",)
    baseline = "kdgraph"
    operation: ClassVar[str]

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.graph = (inputs.rowptr, inputs.col, inputs.weight)
        pack = getattr(torch.ops.quantized, f"embedding_bag_{self.operation}_prepack")
        self.rows: Tensor = pack(inputs.table())
        self.sum = getattr(
            torch.ops.quantized, f"embedding_bag_{self.operation}_rowwise_offsets"
        )

    @override
    def run(self) -> Tensor:
        rowptr, col, weight = self.graph
        summed: Tensor = self.sum(
            self.rows,
            col,
            rowptr,
            mode=0,
            per_sample_weights=weight,
            include_last_offset=True,
        )
        return summed

    @classmethod
    def row(cls, setting: Setting) -> int:
        """Bytes of a row with its scale and shift."""
        raise NotImplementedError

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | {"rows": setting.num_nodes * cls.row(setting)}

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return aggregation(setting, cls.row(setting))


class Int8Rows(_Rows):
    """A byte per number, and two float32 per row."""

    name = "int8"
    label = "torch embedding_bag, int8 rows"
    tolerance = 0.03
    operation = "byte"

    @classmethod
    @override
    def row(cls, setting: Setting) -> int:
        return setting.channels + 8


class Int4Rows(_Rows):
    """Half a byte per number, and two float16 per row."""

    name = "int4"
    label = "torch embedding_bag, int4 rows"
    tolerance = 0.3
    operation = "4bit"

    @classmethod
    @override
    def row(cls, setting: Setting) -> int:
        return setting.channels // 2 + 4
