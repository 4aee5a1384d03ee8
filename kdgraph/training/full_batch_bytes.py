"""About how much memory training on all nodes at once takes."""

from kdgraph.codes import expand_sizes
from kdgraph.data import Graph
from kdgraph.training.config import STRUCTURAL, TrainConfig
from kdgraph.training.networks import GAT_HEADS
from kdgraph.training.rivals import DEFAULT_RANK

_FLOAT = 4
_BLOCKS = 80 << 20
"""Of 16 MiB, in which the gradient of a choice of codes is worked out."""


def full_batch_bytes(config: TrainConfig, graph: Graph) -> int:
    """About how many bytes the peak of training on all nodes at once takes.

    Where codes are read, for an entry of the adjacency its forms while it is
    normalised, 48 bytes; for a node five floats per hidden channel and layer, one per
    channel of its vector and four per class. On ogbn-arxiv, three layers of 128, that
    is 1.2 GB; 0.9 are measured beside what the program takes. More takes what forms
    vectors, such as dropout on them, what trains numbers per node, their gradients and
    Adam's state included, and attention, whose messages are formed for every edge.

    Args:
        config: With the sizes of the network and of codes.
        graph: Where it is trained.
    """
    classes = graph.num_classes
    per_node = _network_floats(config) + _encoder_floats(config) + 4 * classes + 2
    per_edge = 12
    if config.model == "gat":
        layers, hidden = config.num_layers or 1, _hidden(config)
        messages = 2 * (hidden + GAT_HEADS * classes)
        per_edge += messages + 12 * GAT_HEADS * layers
    blocks = 0
    if config.method == "kd" and config.coder != "fixed" and config.query_dim != 0:
        blocks = min(_BLOCKS, 5 * _FLOAT * _choices(config) * graph.num_nodes)
    return blocks + _FLOAT * (per_edge * graph.num_edges + per_node * graph.num_nodes)


def _hidden(config: TrainConfig) -> int:
    """Hidden channels of all layers; the last has some where layers are joined."""
    last = config.jk in (None, "none")
    return (config.hidden_dim or 0) * max(0, (config.num_layers or 1) - last)


def _network_floats(config: TrainConfig) -> int:
    """Per node, of hidden layers, and of sums of vectors over neighbours."""
    floats = 5 * _hidden(config)
    if config.model == "gin":
        # Each layer is a network of two.
        floats *= 2
    formed = _forms_vectors(config) or config.model == "gin"
    if config.model in ("sage", "gin") and formed:
        floats += config.dim
    return floats


def _encoder_floats(config: TrainConfig) -> int:
    """Per node, of vectors, and of what is trained to choose them."""
    floats = (3 if _forms_vectors(config) else 1) * config.dim
    if config.guidance in ("online", "pretrained"):
        # The teacher's table as it is trained, and the difference from it.
        floats += (4 + 2) * config.dim
    if config.method not in ("kd", "lowrank"):
        # Most rivals keep less than a table beside what forms their vectors.
        return floats + 4 * config.dim
    if config.method == "lowrank":
        return floats + 4 * (config.rank or DEFAULT_RANK)
    if config.coder in STRUCTURAL:
        return floats
    if config.coder == "vq":
        return floats + 4 * config.dim
    positions, choices = config.num_codebooks or 1, _choices(config)
    if config.coder == "threshold":
        return floats + 4 * positions
    trained = positions * config.query_dim if config.query_dim else choices
    if config.coder == "gumbel" or not config.query_dim:
        # Where there is noise or no query, logits of all nodes are formed.
        floats += 4 * choices
    return floats + 4 * trained


def _choices(config: TrainConfig) -> int:
    """Choices of all positions."""
    return sum(expand_sizes(config.num_codebooks or 1, config.codebook_size or 2))


def _forms_vectors(config: TrainConfig) -> bool:
    """Whether the first layer is given vectors, and not codes."""
    return (
        config.method != "kd"
        or bool(config.input_dropout)
        or config.guidance in ("online", "pretrained")
        or config.composer in ("mlp", "recurrent", "ring")
    )
