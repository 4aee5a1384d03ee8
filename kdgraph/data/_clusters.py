"""Clusters as a data set of torch, and the order in which an epoch visits them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from typing_extensions import override

from kdgraph.ops.pattern import narrow


class Clusters(Dataset[Tensor]):
    """The nodes of each cluster that has any, ascending.

    Args:
        clusters: The cluster of each node, ``[N]``, integers of at least 0.
        num_nodes: Number of nodes N.

    Raises:
        TypeError: Clusters that are not integers.
        ValueError: Not a cluster for each node, or a negative one.

    Example:
        >>> found = Clusters(torch.tensor([5, 2, 5]), 3)
        >>> [found[place].tolist() for place in range(len(found))]
        [[1], [0, 2]]
    """

    def __init__(self, clusters: Tensor, num_nodes: int) -> None:
        _check(clusters, num_nodes)
        clusters = clusters.cpu()
        # Nothing is kept where a range of nodes tells its cluster.
        self._order: Tensor | None = None
        if bool((clusters[1:] < clusters[:-1]).any()):
            order = clusters.argsort(stable=True)
            clusters = clusters[order]
            self._order = narrow(order, num_nodes)
        first = (clusters[1:] != clusters[:-1]).nonzero().flatten() + 1
        begin = [0, *first.tolist()] if num_nodes else []
        self._bounds = [*begin, num_nodes]

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @override
    def __getitem__(self, place: int) -> Tensor:
        begin, end = self._bounds[place : place + 2]
        if self._order is None:
            return torch.arange(begin, end)
        return self._order[begin:end].long()


class EpochOrder(Sampler[int]):
    """Clusters in the order of an epoch, then in that of the next.

    Args:
        count: How many there are.
        shuffle: Whether the order is random, drawn from ``(seed, epoch)`` alone.
        seed: Of what is drawn.

    Example:
        >>> order = EpochOrder(3, shuffle=False, seed=0)
        >>> list(order), order.epoch
        ([0, 1, 2], 1)
    """

    def __init__(self, count: int, *, shuffle: bool, seed: int) -> None:
        self.epoch = 0
        self._count = count
        self._shuffle = shuffle
        self._seed = seed % (1 << 64)

    def __len__(self) -> int:
        return self._count

    @override
    def __iter__(self) -> Iterator[int]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        if not self._shuffle:
            return iter(range(self._count))
        # Not of the sum, by which epoch 1 of a seed were epoch 0 of the next.
        drawn = np.random.default_rng((self._seed, epoch)).permutation(self._count)
        return iter(drawn.tolist())


def _check(clusters: Tensor, num_nodes: int) -> None:
    if not isinstance(clusters, Tensor):
        raise TypeError(
            "ClusterLoader expects clusters as a tensor of integers, got "
            f"{type(clusters).__name__}"
        )
    kind = clusters.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(f"ClusterLoader expects clusters of integers, got {kind}")
    if clusters.shape != (num_nodes,):
        raise ValueError(
            f"ClusterLoader expects a cluster for each of the {num_nodes} nodes, got "
            f"shape {list(clusters.shape)}"
        )
    if num_nodes and int(clusters.min()) < 0:
        raise ValueError(
            f"ClusterLoader expects clusters of at least 0, got {int(clusters.min())} "
            f"for node {int(clusters.argmin())}"
        )
