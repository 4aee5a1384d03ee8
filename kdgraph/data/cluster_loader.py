"""ClusterLoader: unions of clusters as batches, without further packages."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from kdgraph.compat import filter_data
from kdgraph.data._clusters import Clusters, EpochOrder
from kdgraph.data._pattern import pattern_of, placeholder, with_edge_index
from kdgraph.data.disk import DiskCSR
from kdgraph.data.graph import Graph
from kdgraph.ops import Pattern, induced_subgraph

_OWN = ("dataset", "sampler", "batch_sampler", "collate_fn", "drop_last")


class ClusterLoader(DataLoader[Tensor]):
    r"""Train on a few clusters of a graph at a time (Chiang et al., KDD 2019).

    The stochastic multiple partitions of Cluster-GCN: an epoch puts the clusters in a
    random order, and each batch is the union of the next ``batch_size`` of them, with
    all edges inside it, those between its clusters too. Every node stands in one batch
    of an epoch; only edges between batches are left out. It is what PyG's
    ``ClusterData`` and ``ClusterLoader`` do, which need ``pyg-lib`` or
    ``torch-sparse``.

    A batch is PyG's ``Data`` with

    - **n_id:** its nodes, ascending within a cluster, clusters in the order drawn
    - **edge_index:** its edges between places in ``n_id``, sorted by target
    - **e_id:** which edge of the graph each is, in the order that was given
    - **full_degree:** how many edges lead to each node in the whole graph, for who
      wants to normalise by it and not, as the paper does, by the edges of the batch
    - what the graph knows of its nodes: ``y``, ``train_mask``, ``val_mask`` and
      ``test_mask`` of a :class:`kdgraph.data.Graph`; all that a ``Data`` has of nodes
      and edges

    and takes time and memory of the edges into its nodes, nothing of the size of the
    graph. The loader keeps 4 bytes a node, or 8 beyond :math:`2^{31}` nodes, and none
    where the clusters of the nodes ascend, as they do in the order of a partition;
    three more for the masks of a ``Graph``.

    Each time the loader is iterated over it goes on to the next epoch. What that draws
    follows from ``(seed, epoch)`` alone, for any number of workers and threads, so a
    run goes on where it stopped after :meth:`set_epoch`.

    Args:
        graph: A :class:`kdgraph.data.Graph`, what :func:`kdgraph.data.open_csr` maps
            from disk, PyG's ``Data`` with an ``edge_index``, or a
            :class:`kdgraph.ops.Pattern`.
        clusters: The cluster of each node, such as
            :func:`kdgraph.codes.clusters_of` reads off codes. Numbers that no node has
            are skipped.
        batch_size: How many clusters make a batch; the last may have fewer.
            (default: ``1``)
        shuffle: Whether clusters are in random order, instead of that of their numbers.
            (default: ``True``)
        seed: Of the random order. (default: ``0``)
        **options: Of :class:`torch.utils.data.DataLoader`, such as ``num_workers``.

    Shapes:
        - **clusters:** :math:`(N)`, integers

    Raises:
        TypeError: Another kind of graph, clusters that are not integers, or an option
            that a loader of clusters decides itself.
        ValueError: Not a cluster for each node, a negative one, or a ``batch_size``
            below 1 or above the number of clusters.

    Example:
        >>> from kdgraph.data import sbm
        >>> graph = sbm(num_nodes=100, mean_degree=4, seed=0)
        >>> loader = ClusterLoader(graph, torch.arange(100) % 6, batch_size=2)
        >>> batch = next(iter(loader))
        >>> batch.num_nodes, bool((batch.y == graph.y[batch.n_id]).all())
        (34, True)
        >>> loader.epoch, len(loader)
        (1, 3)
    """

    def __init__(
        self,
        graph: Graph | DiskCSR | Data | Pattern,
        clusters: Tensor,
        *,
        batch_size: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> None:
        own = [name for name in _OWN if name in options]
        if own:
            raise TypeError(f"ClusterLoader decides on {own[0]!r} itself; leave it out")
        pattern = pattern_of(graph, "ClusterLoader")
        if pattern.num_sources != pattern.num_targets:
            raise ValueError(
                "ClusterLoader expects edges between nodes of one kind, got "
                f"{pattern.num_sources} sources and {pattern.num_targets} targets"
            )
        members = Clusters(clusters, pattern.num_targets)
        count = _integer(batch_size, "batch_size")
        if not 1 <= count <= len(members):
            raise ValueError(
                f"ClusterLoader expects batch_size from 1 to the {len(members)} "
                f"clusters that have nodes, got {count}"
            )
        self.shuffle = shuffle
        self.seed = _integer(seed, "seed")
        self._order = EpochOrder(len(members), shuffle=shuffle, seed=self.seed)
        self._pattern = pattern
        super().__init__(
            members,
            batch_size=count,
            sampler=self._order,
            collate_fn=_Union(pattern, _data(graph, pattern)),
            **options,
        )

    @property
    def num_clusters(self) -> int:
        """How many clusters have nodes."""
        return len(self._order)

    @property
    def epoch(self) -> int:
        """The epoch that is drawn when the loader is iterated over next."""
        return self._order.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go on with some epoch, whatever was drawn before.

        Args:
            epoch: Its number; a new loader begins with 0.

        Raises:
            TypeError: Not an integer.
            ValueError: Below 0.

        Example:
            >>> from kdgraph.data import sbm
            >>> graph = sbm(num_nodes=100, mean_degree=4, seed=0)
            >>> loader = ClusterLoader(graph, torch.arange(100) % 6)
            >>> first, second = ([b.n_id for b in loader] for _ in range(2))
            >>> loader.set_epoch(1)
            >>> all(map(torch.equal, second, (batch.n_id for batch in loader)))
            True
        """
        epoch = _integer(epoch, "epoch")
        if epoch < 0:
            raise ValueError(f"ClusterLoader expects epoch of at least 0, got {epoch}")
        self._order.epoch = epoch

    def __repr__(self) -> str:
        """What it draws, in one line."""
        return (
            f"ClusterLoader({self._pattern.num_targets} nodes, "
            f"{self._pattern.num_edges} edges, {self.num_clusters} clusters, "
            f"batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed})"
        )


class _Union:
    """Some clusters as a batch."""

    def __init__(self, pattern: Pattern, data: Data) -> None:
        self._pattern = pattern
        self._data = data

    def __call__(self, clusters: list[Tensor]) -> Data:
        nodes = torch.cat(clusters)
        rowptr, order = self._pattern.rowptr, self._pattern.order
        found = induced_subgraph(rowptr, self._pattern.col, nodes)
        batch = filter_data(self._data, nodes, *found, order)
        batch.num_nodes = nodes.numel()
        batch.n_id = nodes
        batch.e_id = found.edge if order is None else order[found.edge].long()
        batch.full_degree = (rowptr[nodes + 1] - rowptr[nodes]).long()
        return batch


def _data(graph: Graph | DiskCSR | Data | Pattern, pattern: Pattern) -> Data:
    """What is known of nodes, and of edges."""
    if isinstance(graph, Data):
        return with_edge_index(graph, pattern)
    if not isinstance(graph, Graph):
        return placeholder(pattern.num_targets)
    masks = {}
    for part, idx in (
        ("train", graph.train_idx),
        ("val", graph.valid_idx),
        ("test", graph.test_idx),
    ):
        mask = torch.zeros(graph.num_nodes, dtype=torch.bool)
        mask[idx] = True
        masks[f"{part}_mask"] = mask
    return placeholder(graph.num_nodes, y=graph.y, **masks)


def _integer(value: int, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"ClusterLoader expects {name} as an integer, got {value!r}")
    return int(value)
