"""kdgraph: sums of neighbours straight from the codes."""

from torch import Tensor
from typing_extensions import override

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import Rival, code_bytes, graph_bytes
from benchmarks.message_passing.roofline import Work, aggregation
from benchmarks.message_passing.setting import Setting
from kdgraph.ops import coded_spmm


class Coded(Rival):
    """``coded_spmm``, as a user calls it, checks included."""

    name = "kdgraph"
    label = "kdgraph, on the codes"
    suites = ("forward",)
    baseline = "kdgraph"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.graph = (inputs.rowptr, inputs.col, inputs.weight)
        self.rows = (inputs.codes, inputs.codebooks)

    @override
    def run(self) -> Tensor:
        return coded_spmm(*self.graph, *self.rows)

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | code_bytes(setting)

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return aggregation(setting, setting.num_codebooks)
