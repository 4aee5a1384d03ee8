"""Everyone who takes part, by name and in the order of running.

Those whose ratio says most run right after what they are compared with.
"""

from benchmarks.message_passing.rivals.base import Rival
from benchmarks.message_passing.rivals.coded import Coded
from benchmarks.message_passing.rivals.epochs import (
    CodedEpoch,
    DecodedEpoch,
    TableEpoch,
    TableEpochOverCodedLayers,
)
from benchmarks.message_passing.rivals.gathers import (
    CodedGather,
    FaissDecode,
    Int8Gather,
    TableGather,
)
from benchmarks.message_passing.rivals.layers import (
    CodedLayer,
    CodedLayerTrained,
    TableLayerTrained,
)
from benchmarks.message_passing.rivals.plain import (
    PlainCoded,
    PlainLayerTrained,
    PlainTableTrained,
    PlainTorchSparse,
)
from benchmarks.message_passing.rivals.pyg import (
    GCNConvCompiled,
    GCNConvCSR,
    GCNConvEdges,
)
from benchmarks.message_passing.rivals.quantized import Int4Rows, Int8Rows
from benchmarks.message_passing.rivals.tables import (
    DecodeThenSparse,
    EmbeddingBag,
    NeighborSum,
    TorchSparse,
)

_ALL: tuple[type[Rival], ...] = (
    Coded,
    TorchSparse,
    NeighborSum,
    EmbeddingBag,
    Int8Rows,
    Int4Rows,
    DecodeThenSparse,
    CodedLayer,
    GCNConvCSR,
    GCNConvEdges,
    GCNConvCompiled,
    CodedLayerTrained,
    TableLayerTrained,
    CodedGather,
    TableGather,
    FaissDecode,
    Int8Gather,
    CodedEpoch,
    TableEpoch,
    TableEpochOverCodedLayers,
    DecodedEpoch,
    PlainCoded,
    PlainTorchSparse,
    PlainLayerTrained,
    PlainTableTrained,
)
RIVALS: dict[str, type[Rival]] = {rival.name: rival for rival in _ALL}


def of_suite(suite: str) -> list[type[Rival]]:
    """Who takes part in a suite, in the order of running."""
    return [rival for rival in _ALL if suite in rival.suites]


__all__ = ["RIVALS", "Rival", "of_suite"]
