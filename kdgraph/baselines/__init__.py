"""Baselines: what codes are compared with, under the same law."""

from kdgraph.baselines.full import FullEmbedding
from kdgraph.baselines.label_propagation import LabelPropagation
from kdgraph.baselines.low_rank import LowRankEmbedding
from kdgraph.baselines.position_hash import PositionHashEmbedding
from kdgraph.baselines.spreading import Spreading
from kdgraph.baselines.tensor_train import TensorTrainEmbedding

__all__ = [
    "FullEmbedding",
    "LabelPropagation",
    "LowRankEmbedding",
    "PositionHashEmbedding",
    "Spreading",
    "TensorTrainEmbedding",
]
