"""Neighbours at random in numpy: the specification of what the compiled core draws."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kdgraph.ops.sampled import Sampled
from kdgraph.ops.weighted_choice import choose_by_weight, choose_with_replacement

Integers = NDArray[np.int64]
_Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_HALF = np.uint64(32)


def sample(
    rowptr: NDArray[np.integer],
    col: NDArray[np.integer],
    seeds: Integers,
    fanouts: Sequence[int],
    *,
    replace: bool,
    seed: int,
    weight: NDArray[np.floating] | None = None,
    disjoint: bool = False,
) -> Sampled:
    """Draw hop by hop; see :func:`kdgraph.ops.sample_neighbors`.

    A node is known by ``node``, or with ``disjoint`` by ``node + N tree``, so that it
    is another one around every seed.
    """
    total = max(len(rowptr) - 1, 1)
    known = seeds + total * np.arange(len(seeds)) if disjoint else seeds
    rows, cols, edges, nodes_of_hop = [], [], [], [len(seeds)]
    begin = 0
    for fanout in fanouts:
        end = len(known)
        tree, frontier = np.divmod(known[begin:end], total)
        first = rowptr[frontier].astype(np.int64)
        degree = rowptr[frontier + 1].astype(np.int64) - first
        place = np.arange(begin, end)
        given = known[begin:end], first, degree, fanout
        if weight is None or fanout < 0:
            count, edge = _draw(*given, replace=replace, seed=seed)
        else:
            count, edge = _draw_by_weight(*given, weight, replace=replace, seed=seed)
        target = np.repeat(place, count)
        source = col[edge].astype(np.int64)
        wrong = source[(source < 0) | (source >= total)]
        if len(wrong):
            raise IndexError(
                f"sample_neighbors expects nodes in [0, {total}), got {wrong[0]}"
            )
        known, row = _add(known, source + total * np.repeat(tree, count))
        rows.append(row)
        cols.append(target)
        edges.append(edge)
        nodes_of_hop.append(len(known) - end)
        begin = end
    tree, node = np.divmod(known, total)
    return Sampled.of(
        node,
        np.concatenate(rows),
        np.concatenate(cols),
        np.concatenate(edges),
        nodes_of_hop,
        [len(edge) for edge in edges],
        tree if disjoint else None,
    )


def _draw(
    node: Integers,
    first: Integers,
    degree: Integers,
    fanout: int,
    *,
    replace: bool,
    seed: int,
) -> tuple[Integers, Integers]:
    """How many edges each node draws, and which."""
    count = degree if fanout < 0 else np.minimum(degree, fanout)
    if replace and fanout >= 0:
        count = np.where(degree > 0, fanout, 0)
    start = np.cumsum(count) - count
    within = np.arange(count.sum()) - np.repeat(start, count)
    edge = np.repeat(first, count) + within
    drawn = degree > 0 if replace else degree > count
    if fanout > 0 and drawn.any():
        chosen = _choices(
            node[drawn], degree[drawn], fanout, replace=replace, seed=seed
        )
        spots = start[drawn][:, None] + np.arange(fanout)
        edge[spots] = first[drawn][:, None] + chosen
    return count, edge


def _draw_by_weight(
    node: Integers,
    first: Integers,
    degree: Integers,
    fanout: int,
    weight: NDArray[np.floating],
    *,
    replace: bool,
    seed: int,
) -> tuple[Integers, Integers]:
    """How many edges each node draws by their weights, and which."""
    owner = np.repeat(np.arange(len(node)), degree)
    start = np.cumsum(degree) - degree
    within = np.arange(degree.sum()) - np.repeat(start, degree)
    edge = np.repeat(first, degree) + within
    own = weight[edge].astype(np.float64)
    if not (np.isfinite(own) & (own >= 0)).all():
        raise ValueError(
            "sample_neighbors expects weights of edges that are finite and at least 0, "
            "got one that is not"
        )
    with np.errstate(over="ignore"):
        key = _mix(np.uint64(seed) + (node + 1).astype(np.uint64) * _GOLDEN)
        if not replace:
            uniform = _uniform(np.repeat(key, degree), within)
            chosen = choose_by_weight(owner, own, uniform, fanout)
            return np.bincount(owner[chosen], minlength=len(node)), edge[chosen]
        some = np.bincount(owner, own, minlength=len(node)) > 0
        count = np.where(some, fanout, 0)
        turn = np.arange(count.sum()) % fanout
        uniform = _uniform(np.repeat(key, count), turn)
    begin, end = np.repeat(start, count), np.repeat(start + degree, count)
    return count, edge[choose_with_replacement(begin, end, own, uniform)]


def _uniform(key: _Words, turn: Integers) -> NDArray[np.float64]:
    """Numbers in ``[0, 1)`` of keys and turns."""
    bits = _mix(key + (turn + 1).astype(np.uint64)) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _choices(
    node: Integers, degree: Integers, count: int, *, replace: bool, seed: int
) -> Integers:
    """Numbers ``[n, count]`` below the degrees, distinct in a row unless replaced.

    Without replacement by Floyd's method: the i-th is drawn among the first
    ``degree - count + i + 1``, and where it was drawn before, it is the last of these.
    """
    with np.errstate(over="ignore"):
        key = _mix(np.uint64(seed) + (node + 1).astype(np.uint64) * _GOLDEN)
        chosen = np.empty((len(node), count), dtype=np.int64)
        for i in range(count):
            last = degree - 1 if replace else degree - count + i
            high = _mix(key + np.uint64(i + 1)) >> _HALF
            one = (high * (last + 1).astype(np.uint64) >> _HALF).astype(np.int64)
            if not replace:
                known = (chosen[:, :i] == one[:, None]).any(axis=1)
                one = np.where(known, last, one)
            chosen[:, i] = one
    return chosen


def _mix(x: _Words) -> _Words:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> _SHIFTS[0])) * _FACTORS[0]
    x = (x ^ (x >> _SHIFTS[1])) * _FACTORS[1]
    mixed: _Words = x ^ (x >> _SHIFTS[2])
    return mixed


def _add(node: Integers, drawn: Integers) -> tuple[Integers, Integers]:
    """All nodes, new ones in the order they were drawn in, and the places of these."""
    both = np.concatenate([node, drawn])
    _, where, inverse = np.unique(both, return_index=True, return_inverse=True)
    # Seeds may stand twice: the first of them is the place of both.
    fresh = np.sort(where[where >= len(node)])
    place = np.where(where < len(node), where, 0)
    place[where >= len(node)] = len(node) + np.searchsorted(
        fresh, where[where >= len(node)]
    )
    return np.concatenate([node, both[fresh]]), place[inverse[len(node) :]]
