"""DeepWalk and node2vec: vectors of nodes that meet on random walks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes.progress import Progress, part
from kdgraph.codes.structure import read_structure
from kdgraph.codes.walks import Walker

MAX_PAIRS = 500_000_000
"""Pairs of nodes that are trained on at most, unless more are asked for."""

_LR = 0.05
_WALKS_AT_ONCE = 4096
_SHARED = 64
"""Negative nodes that all nodes of a batch share."""


def deepwalk_vectors(
    adj: object,
    dim: int = 128,
    *,
    walk_length: int = 80,
    window: int = 10,
    walks_per_node: int = 10,
    negative: float = 5.0,
    max_pairs: int = MAX_PAIRS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""Vectors of nodes that tell which others are near on plain random walks.

    "DeepWalk: Online Learning of Social Representations" (Perozzi, Al-Rfou and Skiena,
    KDD 2014), by skip-gram with negative sampling in the place of its hierarchical
    softmax: over pairs (v, u) at most ``window`` steps apart on a walk,

    .. math::
        \max_{X, Y} \sum_{(v, u)} \ln \sigma(x_v^\top y_u)
        + b\, \mathbb{E}_{w \sim P} \ln \sigma(-x_v^\top y_w), \qquad
        P(w) \propto d_w^{3/4}.

    The expectation is over 64 nodes that a batch of walks shares. Trained in one pass,
    by Adagrad with one number of state per row and a learning rate that falls from
    0.05 to nothing, on the rows of the batch alone. A graph whose walks have more than
    ``max_pairs`` pairs is walked less, down to a part of a walk per node: 10 walks a
    node hold :math:`2.5 \cdot 10^9` pairs for 170,000 nodes, so the default takes 2.

    Time is about a minute for :math:`10^8` pairs on one core at 128 channels; memory
    are two arrays ``[N, C]``.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        dim: Width of a vector C. (default: ``128``)
        walk_length: Nodes of a walk. (default: ``80``)
        window: Steps between two nodes of a pair at most. (default: ``10``)
        walks_per_node: Walks that start at each node, if ``max_pairs`` allows.
            (default: ``10``)
        negative: Weight b of the negative samples. (default: ``5.0``)
        max_pairs: Pairs in all. (default: ``500_000_000``)
        seed: Of walks and training. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        ``[N, C]`` float32; isolated nodes are zero.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, or sizes out of range.

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((8, 8)), np.ones((9, 9))))
        >>> vectors = deepwalk_vectors(graph, 8, walk_length=20, walks_per_node=400)
        >>> near, far = vectors[:8] @ vectors[:8].T, vectors[:8] @ vectors[8:].T
        >>> bool(near.mean() > far.mean())
        True
    """
    return _skip_gram(
        adj,
        "deepwalk_vectors",
        dim,
        (walk_length, window, walks_per_node, max_pairs),
        negative,
        (1.0, 1.0),
        seed,
        part(progress, 0.0, 1.0),
    )


def node2vec_vectors(
    adj: object,
    dim: int = 128,
    *,
    p: float = 0.25,
    q: float = 0.25,
    walk_length: int = 80,
    window: int = 10,
    walks_per_node: int = 10,
    negative: float = 5.0,
    max_pairs: int = MAX_PAIRS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """:func:`deepwalk_vectors` with walks that return, or leave, more often.

    "node2vec: Scalable Feature Learning for Networks" (Grover and Leskovec, KDD 2016);
    its walks are those of :func:`random_walks`. The authors choose p and q among 0.25,
    0.5, 1, 2 and 4 by the task; the defaults are theirs for BlogCatalog.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        dim: Width of a vector C. (default: ``128``)
        p: How unlikely it is to return at once. (default: ``0.25``)
        q: How unlikely it is to leave the neighbourhood. (default: ``0.25``)
        walk_length: Nodes of a walk. (default: ``80``)
        window: Steps between two nodes of a pair at most. (default: ``10``)
        walks_per_node: Walks that start at each node, if ``max_pairs`` allows.
            (default: ``10``)
        negative: Weight of the negative samples. (default: ``5.0``)
        max_pairs: Pairs in all. (default: ``500_000_000``)
        seed: Of walks and training. (default: ``0``)
        progress: Called with the fraction done and the name of the stage.

    Returns:
        ``[N, C]`` float32; isolated nodes are zero.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, or sizes out of range.

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.block_diag((np.ones((8, 8)), np.ones((9, 9))))
        >>> node2vec_vectors(graph, 4, q=2.0, walk_length=10).shape
        torch.Size([17, 4])
    """
    return _skip_gram(
        adj,
        "node2vec_vectors",
        dim,
        (walk_length, window, walks_per_node, max_pairs),
        negative,
        (p, q),
        seed,
        part(progress, 0.0, 1.0),
    )


class Gradients(NamedTuple):
    """What :func:`pair_gradients` gives, in the shapes of what it was given."""

    x: Tensor
    y: Tensor
    noise: Tensor


def pair_gradients(
    x: Tensor, y: Tensor, noise: Tensor, window: int, negative: float
) -> Gradients:
    r"""Gradients of the loss of all pairs on a batch of walks.

    The loss is that of :func:`deepwalk_vectors`, negated and summed over pairs. All
    nodes of a walk are scored with all at once, and those too far apart left out.

    Args:
        x: Vectors of the nodes as centres.
        y: Vectors of the nodes as contexts.
        noise: Vectors of the negative nodes as contexts.
        window: Steps between two nodes of a pair at most.
        negative: Weight of the negative samples.

    Shapes:
        - **x, y:** ``[B, L, C]``
        - **noise:** ``[M, C]``
    """
    place = torch.arange(x.size(1))
    apart = (place[:, None] - place).abs()
    near = ((apart > 0) & (apart <= window)).to(x.dtype)
    close = torch.bmm(x, y.transpose(1, 2)).sigmoid_().sub_(1.0).mul_(near)
    away = (x @ noise.t()).sigmoid_()
    away.mul_(near.sum(dim=1)[:, None] * (negative / noise.size(0)))
    grad_x = torch.bmm(close, y).add_(away @ noise)
    grad_noise = away.flatten(0, 1).t() @ x.flatten(0, 1)
    return Gradients(grad_x, torch.bmm(close.transpose(1, 2), x), grad_noise)


class _Table:
    """Vectors of nodes, moved by Adagrad with one number of state for each."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.squares = torch.zeros(vectors.size(0), 1)

    def step(self, nodes: Tensor, grads: Tensor, lr: float) -> None:
        """Move the vectors of nodes ``[B]``, which may be equal."""
        rows, place = torch.unique(nodes, return_inverse=True)
        total = grads.new_zeros(rows.numel(), grads.size(1))
        total.index_add_(0, place, grads)
        squares = self.squares[rows] + total.square().mean(dim=1, keepdim=True)
        self.squares[rows] = squares
        self.vectors.index_add_(0, rows, total / squares.sqrt().add_(1e-12), alpha=-lr)


def _skip_gram(
    adj: object,
    reader: str,
    dim: int,
    sizes: tuple[int, int, int, int],
    negative: float,
    bias: tuple[float, float],
    seed: int,
    report: Progress,
) -> Tensor:
    graph = read_structure(adj, reader)
    length, window, per_node, max_pairs = sizes
    if min(dim, window, per_node, max_pairs) < 1 or length < 2 or not negative >= 0:
        raise ValueError(
            f"{reader} expects dim, window, walks_per_node and max_pairs of at least "
            f"1, walk_length of at least 2 and negative of at least 0, got {dim}, "
            f"{window}, {per_node}, {max_pairs}, {length} and {negative}"
        )
    walker = Walker(graph, length, p=bias[0], q=bias[1])
    connected = int((walker.degrees > 0).sum())
    reach = min(window, length - 1)
    pairs = 2 * reach * length - reach * (reach + 1)
    num_walks = max(1, min(per_node * connected, max_pairs // pairs))
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    start = torch.rand(walker.num_nodes, dim, generator=generator)
    centers = _Table(start.sub_(0.5).div_(dim))
    contexts = _Table(torch.zeros(walker.num_nodes, dim))
    noise = np.cumsum(walker.degrees**0.75)
    # Few walks a step where there are few, so that there are steps enough.
    batch = min(256, max(16, connected // 100))
    done = 0
    for starts in walker.starts(num_walks, _WALKS_AT_ONCE, rng):
        for walks in torch.split(torch.from_numpy(walker.walk(starts, rng)), batch):
            drawn = np.searchsorted(noise, rng.random(_SHARED) * noise[-1], "right")
            nodes, others = walks.flatten(), torch.from_numpy(drawn)
            grads = pair_gradients(
                centers.vectors[walks],
                contexts.vectors[walks],
                contexts.vectors[others],
                window,
                negative,
            )
            lr = _LR * (1.0 - done / num_walks)
            centers.step(nodes, grads.x.flatten(0, 1), lr)
            contexts.step(
                torch.cat((nodes, others)),
                torch.cat((grads.y.flatten(0, 1), grads.noise)),
                lr,
            )
            done += walks.size(0)
            report(done / num_walks, "walk")
    vectors = centers.vectors
    vectors[torch.from_numpy(walker.degrees == 0)] = 0.0
    return vectors
