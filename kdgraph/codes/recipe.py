"""CodeRecipe: which codes to read off a graph, side by side, as one line of text."""

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from kdgraph.codes.combine import combine_codes
from kdgraph.codes.hashing import hash_codes
from kdgraph.codes.partition import partition_codes, partition_graph
from kdgraph.codes.place_map import PlaceMap, map_bytes
from kdgraph.codes.prefix import Prefix
from kdgraph.codes.progress import Progress, part
from kdgraph.codes.projection import projection_codes
from kdgraph.codes.random import random_codes
from kdgraph.codes.spectral import spectral_codes
from kdgraph.codes.table import CodeTable, check_codebook_sizes
from kdgraph.ops import inverse_order, row_bytes


class Order(NamedTuple):
    """Codes of the nodes of a graph, and the order that implies some of them.

    Args:
        codes: By the ids of the graph.
        rows: ``int64`` ``[N]``, the node at each place of the order;
            ``codes.reordered(rows)`` belong to ``graph.permuted(rows)``, and store no
            map. ``None`` where no order implies any.
    """

    codes: CodeTable
    rows: torch.Tensor | None = None


@dataclass(frozen=True)
class CodeRecipe:
    r"""Parts of a code, from left to right.

    ==========================  ====================================================
    ``tree:16x16x16``           one position: the leaf of a hierarchical partition,
                                16 x 16 x 16 choices, whose codebook is the sum of the
                                clusters on the way to it
    ``order:16x16x16``          the same, implied by an order of the nodes: 0 bits where
                                they are stored in it, else a map from ids to places of
                                :math:`\lceil \log_2 N \rceil` bits a node; only as the
                                first part
    ``place:27x27x27``          D digits of the place in such an order, its clusters
                                those of the first D - 1, the codes of no two nodes
                                alike; bits as for ``order``; only as the first part
    ``levels:16x16``            a position per level, K = 16 and 256
    ``digits:16x16``            a position per level, K = 16 and 16
    ``spectral:8x256``          D = 8 digits of K = 256 of a node vector's residual
    ``hash:8x256``              D hashes of the node id
    ``projection:8x256``        D digits of thresholded random projections
    ``random:8x256``            D random digits
    ==========================  ====================================================

    Every part draws from a seed of its own, so that two partitions are independent.

    Args:
        parts: Kind and numbers of each part.

    Raises:
        ValueError: An unknown part, or sizes out of range.

    Example:
        >>> recipe = CodeRecipe.parse("tree:16x16+spectral:4x64")
        >>> recipe.codebook_sizes, recipe.row_bytes
        ((256, 64, 64, 64, 64), 4)
        >>> str(recipe)
        'tree:16x16+spectral:4x64'
    """

    parts: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        for index, (kind, _) in enumerate(self.parts):
            if kind in _ORDERED and index > 0:
                other = "tree" if kind == "order" else "digits"
                raise ValueError(
                    f"codes: {kind!r} comes first, as nodes are stored in one order "
                    f"only, got it as part {index + 1}; take {other!r} there"
                )
        check_codebook_sizes(self.codebook_sizes)

    @classmethod
    def parse(cls, text: str) -> "CodeRecipe":
        """Read parts joined by ``+``, each ``kind:AxBxC``.

        Raises:
            ValueError: Not such a text.
        """
        parts = []
        for piece in text.split("+"):
            match = re.fullmatch(r"([a-z]+):(\d{1,9}(?:x\d{1,9})*)", piece.strip())
            kind = match.group(1) if match else ""
            if match is None or kind not in _KINDS:
                raise ValueError(
                    f"codes: {piece.strip()!r} is no part of a code; expected parts "
                    f"like 'tree:16x16+spectral:4x64', of {', '.join(_KINDS)}"
                )
            numbers = tuple(int(number) for number in match.group(2).split("x"))
            if kind in _DIGITS and len(numbers) != 2:
                raise ValueError(
                    f"codes: {piece.strip()!r} needs two numbers, positions and "
                    f"choices, as in '{kind}:4x64'"
                )
            if kind == "place" and len(numbers) < 2:
                raise ValueError(
                    f"codes: {piece.strip()!r} needs a number for clusters and one for "
                    "the places in each, as in 'place:64x64'"
                )
            if min(numbers) < 1:
                raise ValueError(f"codes: {piece.strip()!r} has a number below 1")
            parts.append((kind, numbers))
        return cls(tuple(parts))

    @staticmethod
    def is_recipe(text: str) -> bool:
        """Whether a text is meant as a recipe, and not as a file."""
        return re.match(r"[a-z]+:\d", text.strip()) is not None

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Choices per position."""
        return tuple(
            size for kind, numbers in self.parts for size in _sizes(kind, numbers)
        )

    @property
    def trees(self) -> tuple[tuple[int, ...] | None, ...]:
        """Per position the branching of its codebook; ``None`` for an ordinary one."""
        trees: list[tuple[int, ...] | None] = []
        for kind, numbers in self.parts:
            if kind in ("tree", "order"):
                trees.append(numbers)
            else:
                trees += [None] * len(_sizes(kind, numbers))
        return tuple(trees)

    @property
    def row_bytes(self) -> int:
        """Bytes of the packed codes of a node, without a map from ids to places."""
        return row_bytes(self.codebook_sizes[self._told :])

    @property
    def ordered(self) -> bool:
        """Whether the order of a partition implies the first positions."""
        return self.parts[0][0] in _ORDERED

    @property
    def clusters(self) -> tuple[int, ...]:
        """Children per cluster of the order that implies the first part, if any."""
        kind, numbers = self.parts[0]
        if not self.ordered:
            return ()
        return numbers if kind == "order" else numbers[:-1]

    @property
    def _told(self) -> int:
        """Positions that the order implies."""
        kind, numbers = self.parts[0]
        return len(_sizes(kind, numbers)) if self.ordered else 0

    @property
    def movable(self) -> tuple[int, ...]:
        """Positions that may be re-chosen, digits that no other position follows."""
        kinds = [kind for kind, nums in self.parts for _ in _sizes(kind, nums)]
        return tuple(j for j, kind in enumerate(kinds) if kind in _DIGITS)

    def stored_bytes(self, num_nodes: int, *, in_order: bool = False) -> int:
        """Bytes of the codes of N nodes, what implies the first positions included.

        Args:
            num_nodes: N.
            in_order: Whether the graph is stored in the order that implies codes, so
                that there is no map from its ids to places. (default: ``False``)
        """
        prefix = self._stand_in_prefix(num_nodes, in_order=in_order)
        implied = 0 if prefix is None else prefix.nbytes
        return num_nodes * self.row_bytes + implied

    def build(
        self,
        adj: object,
        *,
        seed: int = 0,
        memory: int = 4 << 30,
        vectors: torch.Tensor | None = None,
        boundaries: NDArray[np.integer[Any]] | None = None,
        progress: Progress | None = None,
    ) -> Order:
        """Derive the codes from a graph.

        Args:
            adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
            seed: Of every part.
            memory: Bytes that float arrays over nodes may take at once.
            vectors: What spectral parts quantise, see
                :func:`kdgraph.codes.spectral_codes`. (default: ``None``)
            boundaries: Of a graph that is stored in an order that implies the first
                part: the first id of each cluster of :attr:`clusters`, then the number
                of nodes. (default: it is cut, and stored in no such order)
            progress: Called with the fraction done and the name of the stage.

        Returns:
            Codes by the ids of the graph, and the order where there is one.

        Raises:
            ValueError: A graph that does not have so many clusters or vectors.
        """
        # Nodes that are too many for their digits are refused before they are ordered.
        self._check_places(int(adj.shape[0]))  # type: ignore[attr-defined]
        tables: list[CodeTable] = []
        prefix: Prefix | None = None
        rows: torch.Tensor | None = None
        share = 1.0 / len(self.parts)
        for index, (kind, numbers) in enumerate(self.parts):
            told = part(progress, index * share, (index + 1) * share)
            own = seed * _MOST_PARTS + index
            if kind in _ORDERED:
                prefix, rows = self._implied(adj, own, boundaries, told)
            elif kind == "spectral":
                tables.append(
                    spectral_codes(
                        adj,
                        *numbers,
                        memory=memory,
                        vectors=vectors,
                        seed=own,
                        progress=told,
                    )
                )
            elif kind in _DIGITS:
                tables.append(_digits(kind, adj, numbers, own))
            elif kind == "tree":
                leaves = partition_graph(adj, numbers, seed=own, progress=told).leaves()
                codes = torch.from_numpy(leaves).unsqueeze(1)
                tables.append(CodeTable.from_codes(codes, math.prod(numbers)))
            else:
                tables.append(
                    partition_codes(
                        adj,
                        numbers,
                        kind="levels" if kind == "levels" else "digits",
                        seed=own,
                        progress=told,
                    )
                )
        if prefix is None:
            return Order(combine_codes(*tables))
        if not tables:
            return Order(CodeTable.from_prefix(prefix), rows)
        return Order(combine_codes(*tables).prefixed(prefix), rows)

    def _implied(
        self,
        adj: object,
        seed: int,
        boundaries: NDArray[np.integer[Any]] | None,
        progress: Progress | None,
    ) -> tuple[Prefix, torch.Tensor | None]:
        """What the order implies, and the node at each place, unless that is its id."""
        rows = None
        if boundaries is None:
            order = partition_graph(adj, self.clusters, seed=seed, progress=progress)
            boundaries, rows = order.boundaries, torch.from_numpy(order.order)
        kind, numbers = self.parts[0]
        if kind == "place":
            ends = torch.tensor([0, int(boundaries[-1])])
            prefix = Prefix(ends, numbers, "place")
        else:
            prefix = Prefix(np.asarray(boundaries), (math.prod(numbers),))
        if rows is not None:
            prefix = prefix.reordered(inverse_order(rows))
        return prefix, rows

    def stand_in(self, num_nodes: int, *, in_order: bool = False) -> CodeTable:
        """Codes of the right sizes, all zero: for what only counts bytes.

        Args:
            num_nodes: N.
            in_order: As for :meth:`stored_bytes`.
        """
        zeros = torch.zeros(num_nodes, self.row_bytes, dtype=torch.uint8)
        prefix = self._stand_in_prefix(num_nodes, in_order=in_order)
        return CodeTable(zeros, self.codebook_sizes, prefix)

    def _check_places(self, num_nodes: int) -> None:
        """Check that digits of a place are enough for all nodes.

        Raises:
            ValueError: They are not.
        """
        self._stand_in_prefix(num_nodes, in_order=True)

    def _stand_in_prefix(self, num_nodes: int, *, in_order: bool) -> Prefix | None:
        if not self.ordered:
            return None
        places = None
        if not in_order:
            stream = torch.zeros(map_bytes(num_nodes), dtype=torch.uint8)
            places = PlaceMap(stream, num_nodes)
        kind, numbers = self.parts[0]
        if kind == "place":
            return Prefix(torch.tensor([0, num_nodes]), numbers, "place", places)
        leaves = math.prod(numbers)
        boundaries = torch.full((leaves + 1,), num_nodes)
        boundaries[0] = 0
        return Prefix(boundaries, (leaves,), places=places)

    def __str__(self) -> str:
        """What :meth:`parse` reads."""
        return "+".join(
            f"{kind}:{'x'.join(map(str, numbers))}" for kind, numbers in self.parts
        )


_DIGITS = ("spectral", "hash", "projection", "random")
"""Parts that are D digits of K choices."""
_MOST_PARTS = 128
"""By which seeds of recipes are apart."""
_ORDERED = ("order", "place")
"""Parts that an order of the nodes implies."""
_KINDS = ("tree", "order", "levels", "digits", *_DIGITS, "place")


def _sizes(kind: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
    if kind in _DIGITS:
        return (numbers[1],) * numbers[0]
    if kind in ("digits", "place"):
        return numbers
    products = tuple(math.prod(numbers[: end + 1]) for end in range(len(numbers)))
    return products if kind == "levels" else products[-1:]


def _digits(kind: str, adj: object, numbers: tuple[int, ...], seed: int) -> CodeTable:
    """The codes of a part that knows little of the graph."""
    positions, size = numbers
    if kind == "projection":
        return projection_codes(adj, positions, size, seed=seed)
    num_nodes = int(adj.shape[0])  # type: ignore[attr-defined]
    if kind == "hash":
        return hash_codes(num_nodes, positions, size, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return random_codes(num_nodes, positions, size, generator=generator)
