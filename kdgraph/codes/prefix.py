"""Prefix: the codes that are implied by the place of a node in an order."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.codes.place_map import PlaceMap
from kdgraph.ops import inverse_order

Kind = Literal["levels", "digits", "place"]
KINDS = ("levels", "digits", "place")


class Prefix(nn.Module):
    r"""Codes that are implied by the place of a node in a hierarchical partition.

    The nodes of leaf cluster i have the places from ``boundaries[i]`` to
    ``boundaries[i + 1]``, so a place implies its leaf, and the leaf its path from the
    top, as TT-GNN has it for tensor trains over METIS (Yin et al., 2022). With
    :math:`b_1, ..., b_L` children per cluster, position l of leaf i is

    .. math:: \lfloor i / {\textstyle\prod_{m>l} b_m} \rfloor
        \quad \text{or that} \bmod b_l

    for ``"levels"``, :math:`b_1 \cdots b_l` choices, and for ``"digits"``, :math:`b_l`
    choices. Finding a leaf is a binary search: :math:`O(\log \prod_l b_l)` a node. For
    ``"place"`` every place is a leaf of its own, place i leaf i, in digits: no two
    nodes have the same codes.

    A graph whose nodes are stored in the order of the partition stores no bit of it:
    the ids are the places. Any other graph needs the map from its ids to places,
    :math:`\lceil \log_2 N \rceil` bits a node.

    A module without parameters, so that map and boundaries, 4 bytes each up to
    :math:`2^{31}` nodes and 8 beyond, go where the encoder goes.

    Args:
        boundaries: First place of each leaf, then the number of nodes:
            :math:`\prod_l b_l + 1` integers. A leaf may be empty. For ``"place"`` 0
            and the number of nodes, at most :math:`\prod_l b_l`.
        branching: Children per cluster on each level, each at least 2.
        kind: ``"levels"``, ``"digits"`` or ``"place"``. (default: ``"levels"``)
        places: The place of each node; ``None`` where nodes are stored in the order, so
            that ids are places. (default: ``None``)

    Raises:
        TypeError: Boundaries or branching not of integers.
        ValueError: A branching below 2, another kind, boundaries that are not as many
            as there are leaves and one, do not begin at 0, or fall, or a map of another
            number of nodes.

    Example:
        >>> prefix = Prefix(torch.tensor([0, 1, 3, 3, 4]), (2, 2))
        >>> prefix.codebook_sizes, prefix.num_nodes, prefix.nbytes
        ((2, 4), 4, 20)
        >>> prefix(torch.tensor([0, 1, 2, 3]))
        tensor([[0, 0],
                [0, 1],
                [0, 1],
                [1, 3]])
        >>> mapped = prefix.reordered(torch.tensor([3, 2, 1, 0]))
        >>> mapped(torch.tensor([0])), mapped.nbytes
        (tensor([[1, 3]]), 21)
    """

    boundaries: Tensor
    places: PlaceMap | None

    def __init__(
        self,
        boundaries: Tensor | np.ndarray,
        branching: Sequence[int],
        kind: Kind = "levels",
        places: PlaceMap | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"Prefix expects kind as one of {KINDS}, got {kind!r}")
        self.branching = _check_branching(branching)
        self.kind = kind
        boundaries = torch.as_tensor(boundaries)
        leaves = math.prod(self.branching)
        _check_boundaries(boundaries, 1 if kind == "place" else leaves)
        self.num_nodes = int(boundaries[-1])
        if kind == "place" and self.num_nodes > leaves:
            raise ValueError(
                f"Prefix expects digits {self.branching} for at most {leaves} places, "
                f"got {self.num_nodes} nodes"
            )
        narrow = self.num_nodes <= torch.iinfo(torch.int32).max
        width = torch.int32 if narrow else torch.int64
        # A copy: what was checked stays as it is.
        self.register_buffer("boundaries", boundaries.to(width, copy=True))
        if places is not None and places.num_nodes != self.num_nodes:
            raise ValueError(
                f"Prefix got a map of {places.num_nodes} nodes and boundaries of "
                f"{self.num_nodes}"
            )
        self.places = places

    @classmethod
    def of_leaves(
        cls, leaves: Tensor, branching: Sequence[int], kind: Kind = "levels"
    ) -> tuple["Prefix", Tensor]:
        """Put nodes in the order of their leaves.

        Args:
            leaves: Leaf of each node, integers ``[N]``, the child on the last level
                turning fastest.
            branching: As above.
            kind: As above.

        Returns:
            The prefix of nodes in this order, and ``int64`` ``[N]``, the node at each
            place.

        Raises:
            ValueError: Leaves that are not ``[N]``, or beyond the branching.

        Example:
            >>> prefix, order = Prefix.of_leaves(torch.tensor([1, 0, 1]), (2,))
            >>> prefix.boundaries, order
            (tensor([0, 1, 3], dtype=torch.int32), tensor([1, 0, 2]))
        """
        count = math.prod(_check_branching(branching))
        if leaves.dim() != 1 or leaves.numel() == 0:
            raise ValueError(
                f"Prefix expects a leaf for each node, got shape {tuple(leaves.shape)}"
            )
        if int(leaves.min()) < 0 or int(leaves.max()) >= count:
            raise ValueError(
                f"Prefix expects leaves in [0, {count}), got leaves from "
                f"{int(leaves.min())} to {int(leaves.max())}"
            )
        sizes = torch.bincount(leaves, minlength=count)
        boundaries = functional.pad(sizes.cumsum(0), (1, 0))
        return cls(boundaries, branching, kind), torch.argsort(leaves, stable=True)

    def reordered(self, order: Tensor | np.ndarray) -> "Prefix":
        """The same for nodes that are numbered anew.

        Args:
            order: The node that id i stands for now, ``[N]``. The places of the nodes
                give nodes that are stored in the order the ids of the graph, and the
                node at each place takes the map away again.

        Returns:
            A prefix with a map, but where ids are places.

        Raises:
            TypeError: An order that is not of integers.
            ValueError: Not an order of the nodes.
        """
        order = torch.as_tensor(order, device=self.boundaries.device)
        if inverse_order(order).numel() != self.num_nodes:
            raise ValueError(
                f"Prefix expects an order of {self.num_nodes} nodes, got one of "
                f"{order.numel()}"
            )
        found = order.long() if self.places is None else self.places(order)
        stored = bool((found[1:] > found[:-1]).all())
        places = None if stored else PlaceMap.from_places(found)
        return Prefix(self.boundaries, self.branching, self.kind, places)

    def order(self) -> Tensor:
        """The node at each place, ``int64`` ``[N]``; ``reordered`` by it has no map."""
        if self.places is None:
            return torch.arange(self.num_nodes, device=self.boundaries.device)
        return inverse_order(self.places()).long()

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The alphabet of each position it implies."""
        return prefix_sizes(self.branching, self.kind)

    @property
    def num_codebooks(self) -> int:
        """Number of positions it implies."""
        return len(self.branching)

    @property
    def nbytes(self) -> int:
        """Exact bytes of the boundaries, and of the map if there is one."""
        return self.nbytes_stored_in_order + self.map_bytes

    @property
    def nbytes_stored_in_order(self) -> int:
        """Exact bytes of the boundaries, which are left where ids are places."""
        return self.boundaries.numel() * self.boundaries.element_size()

    @property
    def map_bytes(self) -> int:
        """Exact bytes of the map from ids to places; 0 without one."""
        return 0 if self.places is None else self.places.nbytes

    def forward(self, n_id: Tensor | None = None) -> Tensor:
        """The codes of some nodes, ``int64`` ``[B, L]``, or of all.

        Args:
            n_id: Flat ids ``[B]``, or ``None`` for all.

        Raises:
            IndexError: Ids outside ``[0, N)``, on the CPU.
        """
        if self.places is not None:
            n_id = self.places(n_id)
        elif n_id is None:
            n_id = torch.arange(self.num_nodes, device=self.boundaries.device)
        leaf = self._leaf(n_id)
        columns = []
        for level, size in enumerate(self.branching):
            below = math.prod(self.branching[level + 1 :])
            column = torch.div(leaf, below, rounding_mode="floor")
            # The first is in range as it is, where rows are: others stay outside.
            columns.append(column % size if level and self.kind != "levels" else column)
        return torch.stack(columns, dim=-1)

    def _leaf(self, places: Tensor) -> Tensor:
        # Within the range of int32, and where out of range still out of range.
        rows = places.clamp(-1, self.num_nodes).to(self.boundaries.dtype)
        if self.kind == "place":
            beyond = math.prod(self.branching)
            return torch.where(rows < self.num_nodes, rows.long(), beyond)
        leaf = torch.searchsorted(self.boundaries, rows, right=True) - 1
        # Always 0, but rows out of range have leaves out of range: compiled code has
        # no other check, and would read the codewords of another position.
        first = functional.embedding(leaf, self.boundaries[:-1].unsqueeze(1)).squeeze(1)
        return leaf + (first > rows)

    def extra_repr(self) -> str:
        """As the constructor takes them, the boundaries left out."""
        places = "" if self.places is None else f", places={self.places!r}"
        return (
            f"{self.num_nodes}, branching={self.branching}, kind={self.kind!r}{places}"
        )

    def __repr__(self) -> str:
        """One line."""
        return f"Prefix({self.extra_repr()})"


def prefix_sizes(branching: Sequence[int], kind: Kind) -> tuple[int, ...]:
    """The alphabets that a branching makes.

    Example:
        >>> prefix_sizes((16, 8), "levels"), prefix_sizes((16, 8), "digits")
        ((16, 128), (16, 8))
    """
    if kind == "levels":
        return tuple(itertools.accumulate(branching, operator.mul))
    return tuple(branching)


def without_prefix(
    codebook_sizes: tuple[int, ...], prefix: Prefix | None
) -> tuple[int, ...]:
    """The alphabets of the positions that a prefix does not imply."""
    return codebook_sizes[0 if prefix is None else prefix.num_codebooks :]


def _check_branching(branching: Sequence[int]) -> tuple[int, ...]:
    children = tuple(branching)
    for child in children:
        if isinstance(child, bool) or not hasattr(child, "__index__"):
            raise TypeError(f"Prefix expects branching of integers, got {child!r}")
    if not children or min(children) < 2:
        raise ValueError(
            f"Prefix expects at least 2 children on at least one level, got {children}"
        )
    return tuple(int(child) for child in children)


def _check_boundaries(boundaries: Tensor, leaves: int) -> None:
    kind = boundaries.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(f"Prefix expects boundaries of integers, got {kind}")
    if tuple(boundaries.shape) != (leaves + 1,):
        raise ValueError(
            f"Prefix expects {leaves + 1} boundaries for {leaves} leaves, got shape "
            f"{tuple(boundaries.shape)}"
        )
    if int(boundaries[0]) != 0 or int(boundaries[-1]) < 1:
        raise ValueError(
            "Prefix expects boundaries from 0 to the number of nodes, got them from "
            f"{int(boundaries[0])} to {int(boundaries[-1])}"
        )
    falls = (boundaries[1:] < boundaries[:-1]).nonzero()
    if falls.numel():
        at = int(falls[0])
        raise ValueError(
            f"Prefix expects boundaries that never fall, got {int(boundaries[at])} "
            f"before {int(boundaries[at + 1])} at leaf {at}"
        )
