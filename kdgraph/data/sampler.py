"""NeighborSampler: neighbourhoods for PyG's NodeLoader, without further packages."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.sampler import (
    BaseSampler,
    NodeSamplerInput,
    NumNeighbors,
    SamplerOutput,
)
from torch_geometric.sampler.base import SubgraphType
from typing_extensions import override

from kdgraph.data._induced import induced_edges
from kdgraph.data._pattern import (
    Stores,
    is_stores,
    pattern_of,
    pattern_of_stores,
    placeholder,
    with_edge_index,
)
from kdgraph.data.disk import DiskCSR
from kdgraph.data.graph import Graph
from kdgraph.ops import Pattern, check_num_neighbors, sample_neighbors
from kdgraph.ops.sampled import Sampled


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
            from disk, PyG's ``Data`` with an ``edge_index`` or an ``adj_t``, a pair of
            PyG's ``FeatureStore`` and ``GraphStore``, or a
            :class:`kdgraph.ops.Pattern`.
        num_neighbors: How many neighbours to draw at each hop; -1 for all. Without a
            hop, ``[]``, batches are their seeds.
        replace: Whether an edge may be drawn more than once. (default: ``False``)
        subgraph_type: Which edges a batch has: ``"directional"``, those drawn;
            ``"bidirectional"``, these both ways; ``"induced"``, all among its nodes.
            The last two have no ``num_sampled_nodes``, and no layers to trim.
            (default: ``"directional"``)
        disjoint: Whether every seed gets a graph of its own; the batch then has
            ``batch``, the seed of each node. (default: ``False``)
        weight_attr: Name of an attribute of ``Data`` with a weight of at least 0 for
            each edge, to draw in proportion to: edges of weight 0 are drawn only by -1.
            (default: ``None``)

    Raises:
        TypeError: Another kind of graph, numbers by types of edges, or weights that are
            no numbers.
        ValueError: A hop with a number that is neither positive nor -1, weights that
            are not there, an unknown type of subgraph, or ``"induced"`` and disjoint.

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
        graph: Graph | DiskCSR | Data | Stores | Pattern,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        replace: bool = False,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        weight_attr: str | None = None,
    ) -> None:
        self.num_neighbors = _hops(num_neighbors)
        self.replace = replace
        self.subgraph_type = _subgraph_type(subgraph_type)
        self.disjoint = disjoint
        if disjoint and self.subgraph_type == SubgraphType.induced:
            raise ValueError(
                "NeighborSampler expects subgraph_type 'directional' or "
                "'bidirectional' with disjoint=True, got 'induced'"
            )
        read: Any = pattern_of_stores if is_stores(graph) else pattern_of
        self._pattern: Pattern = read(graph, "NeighborSampler")
        self._weight = _weights(graph, weight_attr, self._pattern)
        self._data = _loader_data(graph, self._pattern)

    @property
    def data(self) -> Data | Stores:
        """The ``data`` of a ``NodeLoader``: node labels ``y``, and no edges.

        PyG replaces the edges by those of the batch. The ``Data`` or the stores that a
        sampler was made of are given as they are; only an ``adj_t`` of
        ``torch.sparse``, which PyG's loaders cannot cut, becomes an ``edge_index`` and
        ``edge_weight``.
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
        """Draw around some nodes; see the class.

        Raises:
            IndexError: Nodes out of range.
            ValueError: Nodes of a type, or with times, which are not looked at.
        """
        if index.input_type is not None:
            raise ValueError(
                "NeighborSampler draws from graphs of one type, got nodes of type "
                f"{index.input_type!r}"
            )
        if index.time is not None:
            raise ValueError(
                "NeighborSampler does not look at times, got input_time; leave it out"
            )
        drawn = self._draw(index.node)
        metadata = index.input_id, index.time
        if self.subgraph_type == SubgraphType.induced:
            edges = induced_edges(self._pattern, drawn.node)
            return SamplerOutput(drawn.node, *edges, metadata=metadata)
        output = SamplerOutput(
            node=drawn.node,
            row=drawn.row,
            col=drawn.col,
            edge=drawn.edge,
            batch=drawn.batch,
            num_sampled_nodes=drawn.num_nodes,
            num_sampled_edges=drawn.num_edges,
            metadata=metadata,
        )
        if self.subgraph_type == SubgraphType.bidirectional:
            output = output.to_bidirectional()
        return output

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

    def _draw(self, seeds: Tensor) -> Sampled:
        seed = int(torch.randint(1 << 62, ()))
        if not self.num_neighbors:
            wrong = seeds[(seeds < 0) | (seeds >= self._pattern.num_targets)]
            if wrong.numel():
                raise IndexError(
                    f"NeighborSampler expects seeds in [0, "
                    f"{self._pattern.num_targets}), got {int(wrong[0])}"
                )
            none = torch.empty(0, dtype=torch.int64)
            trees = torch.arange(len(seeds)) if self.disjoint else None
            return Sampled(seeds, none, none, none, [len(seeds)], [], trees)
        return sample_neighbors(
            self._pattern.rowptr,
            self._pattern.col,
            seeds,
            self.num_neighbors,
            replace=self.replace,
            seed=seed,
            weight=self._weight,
            disjoint=self.disjoint,
        )

    def __repr__(self) -> str:
        """What it draws, in one line."""
        return (
            f"NeighborSampler({self._pattern.num_targets} nodes, "
            f"{self._pattern.num_edges} edges, num_neighbors={self.num_neighbors}, "
            f"replace={self.replace})"
        )


def _hops(num_neighbors: Sequence[int] | NumNeighbors) -> list[int]:
    """How many neighbours each hop draws; PyG's ``NumNeighbors`` without types too."""
    given: Any = num_neighbors
    if isinstance(given, NumNeighbors):
        given = given.values or given.default or []
    if isinstance(given, dict):
        raise TypeError(
            "NeighborSampler draws from graphs of one type, and expects num_neighbors "
            f"as a list with a number for each hop, got numbers by type: {given}"
        )
    if isinstance(given, Sequence) and not isinstance(given, str) and not given:
        return []
    return check_num_neighbors(given, "NeighborSampler")


def _subgraph_type(given: SubgraphType | str) -> SubgraphType:
    try:
        return SubgraphType(given)
    except ValueError as error:
        names = ", ".join(repr(one.value) for one in SubgraphType)
        raise ValueError(
            f"NeighborSampler expects subgraph_type as one of {names}, got {given!r}"
        ) from error


def _weights(graph: object, name: str | None, pattern: Pattern) -> Tensor | None:
    """The weights of the edges, in the order of the pattern."""
    if name is None:
        return None
    if not isinstance(graph, Data):
        raise TypeError(
            "NeighborSampler reads weight_attr from a Data, got "
            f"{type(graph).__name__}; put the edges and their weights into a Data"
        )
    if name not in graph:
        raise ValueError(
            f"NeighborSampler got weight_attr={name!r}, but the Data has only "
            f"{', '.join(map(repr, graph.keys()))}"
        )
    weight = torch.as_tensor(graph[name]).cpu()
    if weight.shape != (pattern.num_edges,):
        raise ValueError(
            f"NeighborSampler expects {name!r} with a weight per edge, "
            f"[{pattern.num_edges}], got shape {list(weight.shape)}"
        )
    weight = weight if weight.dtype == torch.float64 else weight.float()
    if not bool((weight.isfinite() & (weight >= 0)).all()):
        raise ValueError(
            f"NeighborSampler expects weights that are finite and at least 0 in "
            f"{name!r}, got one that is not"
        )
    return weight if pattern.order is None else weight[pattern.order]


def _loader_data(graph: Any, pattern: Pattern) -> Data | Stores:
    """What a ``NodeLoader`` cuts batches from."""
    if is_stores(graph):
        return tuple(graph)
    if not isinstance(graph, Data):
        y = graph.y if isinstance(graph, Graph) else None
        return placeholder(pattern.num_targets, y=y)
    return with_edge_index(graph, pattern)
