"""kdgraph: learned discrete codes in the place of node-embedding tables."""

from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder, Encoding
from kdgraph.packed import PackedEmbedding
from kdgraph.version import __version__

__all__ = ["Encoder", "Encoding", "KDEmbedding", "PackedEmbedding", "__version__"]
