"""NeighborSampler: neighbourhoods for PyG's NodeLoader, without further packages."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput
from typing_extensions import override

from kdgraph.data._pattern import pattern_of, placeholder
from kdgraph.data.disk import DiskCSR
from kdgraph.data.graph import Graph
from kdgraph.ops import Pattern, check_num_neighbors, sample_neighbors


class NeighborSampler(BaseSampler):  # type: ignore[misc]
    r"""Draw a few neighbours of each node, hop by hop (Hamilton et al., NeurIPS 2017).

    What :class:`torch_geometric.loader.NeighborLoader` draws, which needs ``pyg-lib``
    or ``torch-sparse``; here for :class:`torch_geometric.loader.NodeLoader`, with
    kdgraph alone. Batches have what PyG's have: seeds first in ``n_id``, ``e_id``,
    ``input_id``, ``batch_size``, ``num_sampled_nodes`` and ``num_sampled_edges``. Each
    takes time and memory of what is drawn, nothing of the size of the graph, which
    workers share.

    What is drawn follows from torch's generator, and not from the number of threads.

    Args:
        graph: A :class:`kdgraph.data.Graph`, what :func:`kdgraph.data.open_csr` maps
            from disk, PyG's ``Data`` with an ``edge_index``, or a
            :class:`kdgraph.ops.Pattern`.
        num_neighbors: How many neighbours to draw at each hop; -1 for all.
        replace: Whether an edge may be drawn more than once. (default: ``False``)

    Raises:
        TypeError: Another kind of graph.
        ValueError: No hop, or one with a number that is neither positive nor -1.

    Example:
        >>> from kdgraph.data import sbm
        >>> from torch_geometric.loader import NodeLoader
        >>> graph = sbm(num_nodes=100, mean_degree=4, seed=0)
        >>> sampler = NeighborSampler(graph, [3, 2])
        >>> loader = NodeLoader(
        ...     sampler.data, sampler, input_nodes=graph.train_idx, batch_size=8
        ... )
        >>> batch = next(iter(loader))
        >>> batch.batch_size, bool((batch.n_id[:8] == graph.train_idx[:8]).all())
        (8, True)
    """

    def __init__(
        self,
        graph: Graph | DiskCSR | Data | Pattern,
        num_neighbors: Sequence[int],
        *,
        replace: bool = False,
    ) -> None:
        self.num_neighbors = check_num_neighbors(num_neighbors, "NeighborSampler")
        self.replace = replace
        self._pattern = pattern_of(graph, "NeighborSampler")
        y = graph.y if isinstance(graph, Graph) else None
        own = isinstance(graph, Data)
        self._data = graph if own else placeholder(self._pattern.num_targets, y=y)

    @property
    def data(self) -> Data:
        """The ``data`` of a ``NodeLoader``: node labels ``y``, and no edges.

        PyG replaces the edges by those of the batch. The ``Data`` that a sampler was
        made of is given as it is.
        """
        return self._data

    @property
    @override
    def edge_permutation(self) -> Tensor | None:
        """Which edge of the ``edge_index`` each of the sorted edges was."""
        return self._pattern.order

    @override
    def sample_from_nodes(
        self, index: NodeSamplerInput, **kwargs: Any
    ) -> SamplerOutput:
        """Draw around some nodes; see the class."""
        seed = int(torch.randint(1 << 62, ()))
        drawn = sample_neighbors(
            self._pattern.rowptr,
            self._pattern.col,
            index.node,
            self.num_neighbors,
            replace=self.replace,
            seed=seed,
        )
        return SamplerOutput(
            node=drawn.node,
            row=drawn.row,
            col=drawn.col,
            edge=drawn.edge,
            num_sampled_nodes=drawn.num_nodes,
            num_sampled_edges=drawn.num_edges,
            metadata=(index.input_id, index.time),
        )

    @override
    def sample_from_edges(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not for edges.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "NeighborSampler draws around nodes; for links, sample around the ends of "
            "edges with a NodeLoader"
        )

    def __repr__(self) -> str:
        """What it draws, in one line."""
        return (
            f"NeighborSampler({self._pattern.num_targets} nodes, "
            f"{self._pattern.num_edges} edges, num_neighbors={self.num_neighbors}, "
            f"replace={self.replace})"
        )
