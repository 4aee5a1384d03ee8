"""Adamic and Adar's score of a pair: the neighbours that both have."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.link_prediction.split import LinkSplit
from benchmarks.link_prediction.training import LinkSeed, score_hits, score_mrr
from kdgraph.data import Graph

CHUNK = 1 << 16
"""Pairs scored at once."""


def adamic_adar(graph: Graph, heads: Tensor, tails: Tensor) -> Tensor:
    r"""Common neighbours, rare ones counting more.

    .. math:: s(u, v) = \sum_{w \in N(u) \cap N(v)} \frac{1}{\log \deg(w)}

    Adamic and Adar, "Friends and neighbors on the Web", Social Networks 2003.

    Args:
        graph: Whose links are known.
        heads: ``[M]``.
        tails: ``[M]``, or ``[M, n]`` for n tails of each head.
    """
    if tails.dim() == 2:
        count = tails.size(1)
        flat = adamic_adar(graph, heads.repeat_interleave(count), tails.reshape(-1))
        return flat.view(-1, count)
    degree = np.diff(graph.adj.indptr)
    # A common neighbour has two links at least; others are never counted.
    weight = 1.0 / np.log(np.maximum(degree, 2))
    scores = [
        np.asarray(graph.adj[u.numpy()].multiply(graph.adj[v.numpy()]) @ weight)
        for u, v in zip(
            torch.split(heads, CHUNK), torch.split(tails, CHUNK), strict=True
        )
    ]
    return torch.from_numpy(np.concatenate(scores))


def score_neighbours(split: LinkSplit) -> LinkSeed:
    """What counting common neighbours finds; nothing is trained or kept."""

    def score(heads: Tensor, tails: Tensor) -> Tensor:
        return adamic_adar(split.graph, heads, tails)

    return LinkSeed(
        valid_hits=score_hits(split.valid, score),
        test_hits=score_hits(split.test, score),
        valid_mrr=score_mrr(split.valid, score),
        test_mrr=score_mrr(split.test, score),
    )
