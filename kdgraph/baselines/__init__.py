"""Baselines: what codes are compared with, under the same law."""

from kdgraph.baselines.bloom import BloomEmbedding
from kdgraph.baselines.cce import CCEEmbedding
from kdgraph.baselines.deep_hash import DeepHashEmbedding
from kdgraph.baselines.dpq import dpq_sizes, dpq_sx, dpq_vq
from kdgraph.baselines.frozen import FrozenEmbedding
from kdgraph.baselines.full import FullEmbedding
from kdgraph.baselines.hash_decoder import decoder_sizes, hash_decoder
from kdgraph.baselines.hashing import HashingEmbedding
from kdgraph.baselines.int8 import Int8Embedding
from kdgraph.baselines.kd_encoding import kd_encoding
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
from kdgraph.baselines.robe import ROBEEmbedding
from kdgraph.baselines.spreading import Spreading
from kdgraph.baselines.tensor_train import TensorTrainEmbedding

__all__ = [
    "BloomEmbedding",
    "CCEEmbedding",
    "DeepHashEmbedding",
    "FrozenEmbedding",
    "FullEmbedding",
    "HashingEmbedding",
    "Int8Embedding",
    "LabelPropagation",
    "LowRankEmbedding",
    "MultiHashEmbedding",
    "PositionHashEmbedding",
    "QuantizedRows",
    "QuotientRemainderEmbedding",
    "ROBEEmbedding",
    "Spreading",
    "TensorTrainEmbedding",
    "decoder_sizes",
    "dpq_sizes",
    "dpq_sx",
    "dpq_vq",
    "fitting_sizes",
    "hash_decoder",
    "kd_encoding",
    "quantize_table",
    "unfilled",
]
