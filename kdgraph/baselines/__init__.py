"""Baselines: what codes are compared with, under the same law."""

from kdgraph.baselines.bloom import BloomEmbedding
from kdgraph.baselines.full import FullEmbedding
from kdgraph.baselines.hashing import HashingEmbedding
from kdgraph.baselines.int8 import Int8Embedding
from kdgraph.baselines.label_propagation import LabelPropagation
from kdgraph.baselines.low_rank import LowRankEmbedding
from kdgraph.baselines.multi_hash import MultiHashEmbedding
from kdgraph.baselines.position_hash import PositionHashEmbedding
from kdgraph.baselines.quantized_rows import QuantizedRows
from kdgraph.baselines.quantized_table import (
    fitting_sizes,
    quantize_table,
    unfilled,
)
from kdgraph.baselines.quotient_remainder import QuotientRemainderEmbedding
from kdgraph.baselines.spreading import Spreading
from kdgraph.baselines.tensor_train import TensorTrainEmbedding

__all__ = [
    "BloomEmbedding",
    "FullEmbedding",
    "HashingEmbedding",
    "Int8Embedding",
    "LabelPropagation",
    "LowRankEmbedding",
    "MultiHashEmbedding",
    "PositionHashEmbedding",
    "QuantizedRows",
    "QuotientRemainderEmbedding",
    "Spreading",
    "TensorTrainEmbedding",
    "fitting_sizes",
    "quantize_table",
    "unfilled",
]
