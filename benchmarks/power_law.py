"""PowerLaw: a random graph of power-law degrees with communities."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

COMMUNITY = 1000
"""Nodes of a community."""

_CHUNK = 1 << 22
_EXPONENT = 2.5
_INSIDE = 0.7


class PowerLaw:
    """A degree-corrected planted partition (Karrer and Newman, 2011).

    Both ends of an edge are drawn with a probability that falls as a power law, and
    seven of ten edges stay inside a community of a thousand nodes. Node ids are
    shuffled, since neighbours that lie next to each other in memory would be faster
    than real ones.

    Memory is 16 bytes per node, and 32 while it is made.

    Args:
        num_nodes: Number of nodes N.
        rng: What draws.
    """

    def __init__(self, num_nodes: int, rng: np.random.Generator) -> None:
        self.num_nodes = num_nodes
        self._rng = rng
        weight = rng.random(num_nodes) ** (-1.0 / (_EXPONENT - 1.0))
        # A hub has at most as many edges as there are nodes in a few communities.
        self._total = np.cumsum(np.minimum(weight, COMMUNITY))
        self.order = rng.permutation(num_nodes)
        """The node at each place; communities are thousands of places in a row."""

    def edges(
        self, count: int, first: int = 0, last: int | None = None
    ) -> NDArray[np.int64]:
        """Draw distinct undirected edges, without loops.

        Args:
            count: How many.
            first: Place that one end of each lies at or behind. (default: ``0``)
            last: Place that it lies before. (default: N)

        Returns:
            Keys ``u N + v`` with u < v, ascending.
        """
        last = self.num_nodes if last is None else last
        keys = np.empty(0, dtype=np.int64)
        while len(keys) < count:
            missing = count - len(keys)
            drawn = np.empty(missing, dtype=np.int64)
            for start in range(0, missing, _CHUNK):
                part = drawn[start : start + _CHUNK]
                part[:] = self._draw(len(part), first, last)
            keys = np.concatenate((keys, drawn))
            del drawn
            keys = _distinct(keys)
            # Loops were given the key of no edge.
            keys = keys[1:] if keys[0] < 0 else keys
        return keys

    def groups(self, count: int, places: int) -> Iterator[NDArray[np.int64]]:
        """Draw edges group by group, so that few are in memory at once.

        Of each edge one end lies among the places of the group. Edges are distinct
        within a group; between groups nearly all are, since most edges stay inside a
        community, which no group divides.

        Args:
            count: How many in all.
            places: Of a group, a multiple of :data:`COMMUNITY`.

        Yields:
            Keys ``u N + v`` with u < v, in any order.
        """
        starts = range(0, self.num_nodes, places)
        stops = [min(start + places, self.num_nodes) for start in starts]
        ends = self._total[np.array(stops) - 1] * (count / self._total[-1])
        shares = np.diff(np.rint(ends).astype(np.int64), prepend=0)
        for start, stop, share in zip(starts, stops, shares.tolist(), strict=True):
            keys = self.edges(share, start, stop)
            self._rng.shuffle(keys)
            yield keys

    def _draw(self, count: int, first: int, last: int) -> NDArray[np.int64]:
        """Keys of edges, some of them repeated; -1 for a loop."""
        rng, total, nodes = self._rng, self._total, self.num_nodes
        base = total[first - 1] if first else 0.0
        place = base + rng.random(count) * (total[last - 1] - base)
        one = np.searchsorted(total, place, side="right")
        start = one // COMMUNITY * COMMUNITY
        stop = np.minimum(start + COMMUNITY, nodes)
        low = np.where(start > 0, total[start - 1], 0.0)
        inside = rng.random(count) < _INSIDE
        low = np.where(inside, low, 0.0)
        high = np.where(inside, total[stop - 1], total[-1])
        place = low + rng.random(count) * (high - low)
        other = np.searchsorted(total, place, side="right")
        one, other = (np.minimum(place, nodes - 1) for place in (one, other))
        one, other = self.order[one], self.order[other]
        keys = np.minimum(one, other) * nodes + np.maximum(one, other)
        return np.where(one == other, -1, keys)


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    keys.sort()
    return keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
