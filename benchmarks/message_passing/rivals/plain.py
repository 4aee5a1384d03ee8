"""kdgraph where there is no compiled core, and what its times are compared with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from typing_extensions import override

from benchmarks.message_passing.rivals.coded import Coded
from benchmarks.message_passing.rivals.layers import (
    CodedLayerTrained,
    TableLayerTrained,
)
from benchmarks.message_passing.rivals.tables import TorchSparse
from kdgraph.ops.backend import VARIABLE


@contextmanager
def plain_torch() -> Iterator[None]:
    """Compute in plain torch, as without a compiler."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "reference"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


class PlainCoded(Coded):
    """``coded_spmm`` in plain torch."""

    name = "plain"
    label = "kdgraph in plain torch"
    suites = ("plain",)
    baseline = "plain"

    @override
    def run(self) -> Tensor:
        with plain_torch():
            return super().run()


class PlainTorchSparse(TorchSparse):
    """The same on the table."""

    name = "plain-torch-sparse"
    suites = ("plain",)
    baseline = "plain"


class PlainLayerTrained(CodedLayerTrained):
    """A layer whose codebooks and linear map learn, in plain torch."""

    name = "plain-both"
    label = "kdgraph CodedGCNConv in plain torch, codebooks learn"
    suites = ("plain-both",)
    baseline = "plain-both"

    @override
    def run(self) -> Tensor:
        with plain_torch():
            return super().run()


class PlainTableTrained(TableLayerTrained):
    """The same on the table."""

    name = "plain-pyg-both"
    suites = ("plain-both",)
    baseline = "plain-both"
