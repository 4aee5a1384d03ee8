"""PyG's networks, layer by layer over blocks."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from kdgraph.coded_features import CodedFeatures
from kdgraph.training.batches.blocks import Block
from kdgraph.training.networks import CodedGCN

Features = Tensor | CodedFeatures


def run_layers(gnn: Any, x: Features, blocks: Sequence[Block]) -> Tensor:
    """Scores ``[B, T]`` of the targets of the last block.

    Args:
        gnn: One of :data:`kdgraph.training.networks.NETWORKS`.
        x: Features of the sources of the first block.
        blocks: One for each layer, the first layer's first.
    """
    if not blocks:
        raise ValueError("run_layers expects a block for each layer, got none")
    count, hidden = blocks[-1].num_targets, list[Tensor]()
    for layer, block in enumerate(blocks):
        x = run_layer(gnn, layer, x, block)
        hidden.append(x)
    # Targets come first in every block.
    return joined(gnn, [one[:count] for one in hidden])


def joined(gnn: Any, hidden: Sequence[Tensor]) -> Tensor:
    """Scores from what all layers give the same nodes, as PyG joins them.

    Args:
        gnn: One of :data:`kdgraph.training.networks.NETWORKS`.
        hidden: Of each layer, the first layer's first.
    """
    x = hidden[-1]
    if gnn.jk_mode is None:
        return x
    scores: Tensor = gnn.lin(gnn.jk(list(hidden)))
    return scores


def run_layer(gnn: Any, layer: int, x: Features, block: Block) -> Tensor:
    """What a layer of a network gives its targets, as PyG's own loop runs it.

    Args:
        gnn: One of :data:`kdgraph.training.networks.NETWORKS`.
        layer: Which.
        x: Features of the sources.
        block: The edges.
    """
    count = block.num_targets
    if isinstance(gnn, CodedGCN):
        # Its loops are edges of the adjacency.
        hidden: Tensor = gnn.convs[layer](x, block.graph)
    else:
        own = x[:count] if isinstance(x, Tensor) else x.first(count)
        hidden = gnn.convs[layer]((x, own), block.graph)
    if layer < gnn.num_layers - 1 or gnn.jk_mode is not None:
        hidden = gnn.act(gnn.norms[layer](hidden))
        hidden = gnn.dropout(hidden, block.targets)
    return hidden
