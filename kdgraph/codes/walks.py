"""Random walks over a graph, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from kdgraph.codes.structure import read_structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kdgraph.codes.structure import Structure


def random_walks(
    adj: object,
    starts: NDArray[np.int64],
    length: int = 80,
    *,
    p: float = 1.0,
    q: float = 1.0,
    seed: int = 0,
) -> NDArray[np.int64]:
    r"""Walk from each start, to neighbours in proportion to the weight of the edge.

    With p or q other than 1 these are the walks of node2vec (Grover and Leskovec, KDD
    2016, section 3.2): from v, having come from t, the weight of the edge to x is
    multiplied by 1/p if x is t, by 1 if x is a neighbour of t, and by 1/q otherwise.
    A neighbour is proposed as in a plain walk, and taken with the probability of its
    factor among the largest one: nothing is stored per edge.

    A node without neighbours is stayed at.

    Args:
        adj: Any adjacency; see :func:`kdgraph.codes.structure.read_structure`.
        starts: Nodes ``[B]``.
        length: Nodes of a walk L, its start included. (default: ``80``)
        p: How unlikely it is to return at once. (default: ``1.0``)
        q: How unlikely it is to leave the neighbourhood. (default: ``1.0``)
        seed: The same seed gives the same walks. (default: ``0``)

    Returns:
        ``int64`` ``[B, L]``.

    Raises:
        TypeError: Something that is not a sparse matrix.
        ValueError: No adjacency, one without edges, a length below 1, or p or q that
            is not a positive number.
        IndexError: Starts outside ``[0, N)``.

    Example:
        >>> from scipy import sparse
        >>> pair = sparse.csr_array(np.array([[0, 1], [1, 0]]))
        >>> random_walks(pair, np.array([0, 1]), 4).tolist()
        [[0, 1, 0, 1], [1, 0, 1, 0]]
    """
    walker = Walker(read_structure(adj, "random_walks"), length, p=p, q=q)
    first = np.asarray(starts, dtype=np.int64)
    nodes = walker.num_nodes
    if first.size and not 0 <= first.min() <= first.max() < nodes:
        raise IndexError(
            f"random_walks expects starts in [0, {nodes}), got {first.min()} to "
            f"{first.max()}"
        )
    return walker.walk(first, np.random.default_rng(seed))


class Walker:
    """Walks over a graph that was read.

    Args:
        graph: What :func:`kdgraph.codes.structure.read_structure` gives: symmetric.
        length: Nodes of a walk.
        p: See :func:`random_walks`. (default: ``1.0``)
        q: See :func:`random_walks`. (default: ``1.0``)

    Raises:
        ValueError: A length below 1, or p or q that is not a positive number.
    """

    def __init__(
        self, graph: Structure, length: int, *, p: float = 1.0, q: float = 1.0
    ) -> None:
        if length < 1:
            raise ValueError(f"walks expect a length of at least 1, got {length}")
        if not (0 < p < np.inf and 0 < q < np.inf):
            raise ValueError(f"walks expect p and q above 0, got p={p} and q={q}")
        self.num_nodes = int(graph.shape[0])
        self.length = length
        self.factors = (1.0 / p, 1.0, 1.0 / q)
        self._offsets = graph.indptr.astype(np.int64)
        self._neighbors = graph.indices
        self.degrees = np.diff(self._offsets)
        weights = graph.data
        self._ends: NDArray[np.float64] | None = None
        if weights.min() != weights.max():
            self._ends = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])

    def starts(
        self, num_walks: int, block: int, rng: np.random.Generator
    ) -> Iterator[NDArray[np.int64]]:
        """Starts of walks in blocks: passes over the nodes with edges, each shuffled.

        Args:
            num_walks: Walks in all; the last pass may be cut short.
            block: Walks of a block at most.
            rng: Of the shuffles.
        """
        connected = np.flatnonzero(self.degrees)
        while num_walks > 0:
            order = rng.permutation(connected)[:num_walks]
            num_walks -= order.size
            for start in range(0, order.size, block):
                yield order[start : start + block]

    def walk(
        self, starts: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Walks ``[B, L]`` from starts ``[B]``."""
        walks = np.empty((starts.size, self.length), dtype=np.int64)
        walks[:, 0] = starts
        plain = self.factors == (1.0, 1.0, 1.0)
        for step in range(1, self.length):
            here = walks[:, step - 1]
            if step == 1 or plain:
                walks[:, step] = self._propose(here, rng)
            else:
                walks[:, step] = self._accepted(here, walks[:, step - 2], rng)
        return walks

    def _propose(
        self, here: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """A neighbour of each node; the node itself where there is none."""
        first, degree = self._offsets[here], self.degrees[here]
        last = first + degree - 1
        drawn = rng.random(here.size)
        if self._ends is None:
            edge = first + (drawn * degree).astype(np.int64)
        else:
            low, high = self._ends[first], self._ends[last + 1]
            edge = np.searchsorted(self._ends, low + drawn * (high - low), "right") - 1
        # Rounding may point one too far, and nowhere at all without neighbours.
        edge = np.clip(np.minimum(edge, last), np.minimum(first, last), None)
        found = self._neighbors[np.maximum(edge, 0)].astype(np.int64)
        return np.where(degree > 0, found, here)

    def _accepted(
        self,
        here: NDArray[np.int64],
        before: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Proposals, again and again until each is taken."""
        back, near, far = (factor / max(self.factors) for factor in self.factors)
        taken = here.copy()
        waiting = np.flatnonzero(self.degrees[here] > 0)
        while waiting.size:
            proposed = self._propose(here[waiting], rng)
            past = before[waiting]
            odds = np.where(self._are_edges(past, proposed), near, far)
            odds[proposed == past] = back
            good = rng.random(waiting.size) < odds
            taken[waiting[good]] = proposed[good]
            waiting = waiting[~good]
        return taken

    def _are_edges(
        self, nodes: NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each pair is an edge, by bisection of the sorted row."""
        low, stop = self._offsets[nodes], self._offsets[nodes + 1]
        high = stop.copy()
        most = self._neighbors.size - 1
        for _ in range(int(self.degrees[nodes].max(initial=0)).bit_length()):
            middle = (low + high) // 2
            below = self._neighbors[np.minimum(middle, most)] < others
            open_ = low < high
            low = np.where(open_ & below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        found: NDArray[np.bool_] = self._neighbors[np.minimum(low, most)] == others
        return (low < stop) & found
