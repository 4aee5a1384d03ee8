"""What a network is given in a step, and how its layers run on it."""

from kdgraph.training.batches.batch import Batch
from kdgraph.training.batches.blocks import Block, BlockSampler
from kdgraph.training.batches.layers import run_layers
from kdgraph.training.batches.layerwise import LayerwiseInference

__all__ = ["Batch", "Block", "BlockSampler", "LayerwiseInference", "run_layers"]
