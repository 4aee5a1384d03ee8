"""Rival: one way to compute what a suite measures."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from benchmarks.message_passing.exact import Signature, row_sums
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.roofline import Work
from benchmarks.message_passing.setting import Setting


class Rival(ABC):
    """One way to compute what a suite measures; constructing it loads what it reads.

    Args:
        inputs: Where the graph and the codes are.
    """

    name: ClassVar[str]
    """On the command line and in results."""
    label: ClassVar[str]
    """In tables."""
    suites: ClassVar[tuple[str, ...]]
    """Where it takes part."""
    baseline: ClassVar[str]
    """The name of the rival that ratios are to."""
    tolerance: ClassVar[float] = 1e-4
    """The largest deviation from the exact result that is no fault."""
    gradients: ClassVar[bool] = False
    """Whether it differentiates."""
    prefix: ClassVar[str] = ""
    """Of the names of the results that it must give."""

    @abstractmethod
    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @abstractmethod
    def run(self) -> Tensor:
        """What is timed."""

    def signature(self, output: Tensor) -> Signature:
        """The parts of the result that are compared."""
        return row_sums(self.inputs, output, self.prefix)

    @classmethod
    @abstractmethod
    def reads(cls, setting: Setting) -> dict[str, int]:
        """Bytes that are there before it runs, by name."""

    @classmethod
    def temporary(cls, setting: Setting) -> int:  # noqa: ARG003 - what most need
        """Bytes that a run is thought to need beside what it reads and gives."""
        return 0

    @classmethod
    def work(cls, setting: Setting) -> Work:  # noqa: ARG003 - where nobody counts
        """What one run moves and adds at least."""
        return Work()


def graph_bytes(setting: Setting, column: int = 4) -> dict[str, int]:
    """Pointers, columns and weights of a CSR."""
    nodes, edges = setting.num_nodes, setting.num_edges
    return {
        "pointers": 4 * (nodes + 1),
        "columns": column * edges,
        "weights": 4 * edges,
    }


def code_bytes(setting: Setting) -> dict[str, int]:
    """Codes of a byte, and the codebooks."""
    return {
        "codes": setting.num_nodes * setting.num_codebooks,
        "codebooks": 4 * setting.codebook_size * setting.channels,
    }


def table_bytes(setting: Setting) -> dict[str, int]:
    """The float table."""
    return {"table": 4 * setting.num_nodes * setting.channels}


def output_bytes(setting: Setting) -> int:
    """The result."""
    return 4 * setting.outputs * setting.channels
