"""Random walks, held against the chances their definition gives them."""

import numpy as np
import pytest
from scipy import sparse

from kdgraph.codes import random_walks
from kdgraph.codes.structure import read_structure
from kdgraph.codes.walks import Walker


def graph() -> sparse.csr_array:
    """A square with a diagonal and a tail, weights of its own, a node alone."""
    dense = np.zeros((6, 6))
    for u, v, weight in [(0, 1, 1), (1, 2, 2), (2, 3, 1), (3, 0, 3), (0, 2, 1)]:
        dense[u, v] = dense[v, u] = weight
    dense[3, 4] = dense[4, 3] = 2
    return sparse.csr_array(dense)


def plain(adj: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((adj.toarray() > 0).astype(np.float64))


def chances(adj: np.ndarray, before: int, here: int, p: float, q: float) -> np.ndarray:
    """By the definition: weights of edges times a factor for each."""
    odds = adj[here].copy()
    for node in range(odds.size):
        if node == before:
            odds[node] /= p
        elif not adj[before, node]:
            odds[node] /= q
    return odds / odds.sum()


@pytest.mark.parametrize("adj", [graph(), plain(graph())], ids=["weighted", "plain"])
def test_steps_are_in_proportion_to_weights(adj) -> None:
    walks = random_walks(adj, np.zeros(4000, dtype=np.int64), 6)
    dense = adj.toarray()
    counts = np.zeros((6, 6))
    np.add.at(counts, (walks[:, :-1].ravel(), walks[:, 1:].ravel()), 1)
    for node in range(5):
        share = counts[node] / counts[node].sum()
        assert np.allclose(share, dense[node] / dense[node].sum(), atol=0.03)


@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (5.0, 0.5)])
@pytest.mark.parametrize("adj", [graph(), plain(graph())], ids=["weighted", "plain"])
def test_biased_steps_are_those_of_node2vec(adj, p, q) -> None:
    walks = random_walks(adj, np.tile(np.arange(5), 2000), 8, p=p, q=q)
    dense = adj.toarray()
    for before, here in [(0, 2), (0, 3), (3, 0), (4, 3), (3, 4)]:
        at = (walks[:, :-2] == before) & (walks[:, 1:-1] == here)
        share = np.bincount(walks[:, 2:][at], minlength=6) / at.sum()
        assert np.allclose(share, chances(dense, before, here, p, q), atol=0.05)


@pytest.mark.parametrize("options", [{}, {"p": 0.3, "q": 3.0}])
def test_a_node_without_neighbours_is_stayed_at(options) -> None:
    assert random_walks(graph(), np.array([5]), 5, **options).tolist() == [[5] * 5]
    # The last row of the matrix is empty, and so is the first here.
    moved = graph()[::-1][:, ::-1]
    assert random_walks(moved, np.array([0]), 5, **options).tolist() == [[0] * 5]


def test_seeds() -> None:
    starts = np.arange(6)
    first = random_walks(graph(), starts, seed=1)
    assert first.shape == (6, 80)
    assert np.array_equal(first, random_walks(graph(), starts, seed=1))
    assert not np.array_equal(first, random_walks(graph(), starts, seed=2))


def test_starts_are_passes_over_connected_nodes() -> None:
    walker = Walker(read_structure(graph(), "test"), 3)
    blocks = list(walker.starts(13, 2, np.random.default_rng(0)))
    assert max(block.size for block in blocks) == 2
    nodes = np.concatenate(blocks)
    assert sorted(nodes[:5]) == sorted(nodes[5:10]) == [0, 1, 2, 3, 4]
    assert len(set(nodes[10:].tolist())) == 3


@pytest.mark.parametrize(
    ("starts", "options", "error", "message"),
    [
        ([0, 6], {}, IndexError, r"starts in \[0, 6\), got 0 to 6"),
        ([-1], {}, IndexError, "got -1"),
        ([0], {"length": 0}, ValueError, "length of at least 1, got 0"),
        ([0], {"p": 0.0}, ValueError, "p and q above 0, got p=0.0"),
        ([0], {"q": np.nan}, ValueError, "p and q above 0"),
    ],
)
def test_bad_input(starts, options, error, message) -> None:
    with pytest.raises(error, match=message):
        random_walks(graph(), np.array(starts), **options)
