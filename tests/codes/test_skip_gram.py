"""DeepWalk and node2vec, held against autograd and against what they are for."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn.functional import logsigmoid

from kdgraph.codes import deepwalk_vectors, node2vec_vectors
from kdgraph.codes.skip_gram import _Table, pair_gradients

ALL = pytest.mark.parametrize("vectors", [deepwalk_vectors, node2vec_vectors])
SMALL = {"walk_length": 10, "window": 3}


def two_groups() -> sparse.csr_array:
    """Two dense groups of 20, an edge between them, and a node alone."""
    rng = np.random.default_rng(0)
    dense = np.zeros((41, 41))
    for group in (slice(0, 20), slice(20, 40)):
        dense[group, group] = rng.random((20, 20)) < 0.4
    dense[19, 20] = 1.0
    return sparse.csr_array(np.triu(dense, 1) + np.triu(dense, 1).T)


@pytest.mark.parametrize("window", [1, 3, 9])
def test_gradients_are_those_of_the_loss_pair_by_pair(window) -> None:
    x, y = torch.randn(2, 2, 5, 3, dtype=torch.float64)
    noise = torch.randn(4, 3, dtype=torch.float64)
    leaves = [part.clone().requires_grad_() for part in (x, y, noise)]
    loss = torch.zeros((), dtype=torch.float64)
    for walk in range(2):
        for i in range(5):
            for j in range(5):
                if i == j or abs(i - j) > window:
                    continue
                center = leaves[0][walk, i]
                loss = loss - logsigmoid(center @ leaves[1][walk, j])
                loss = loss - 2.5 * logsigmoid(-(leaves[2] @ center)).mean()
    loss.backward()
    found = pair_gradients(x, y, noise, window, 2.5)
    for grad, leaf in zip(found, leaves, strict=True):
        torch.testing.assert_close(grad, leaf.grad)


def test_rows_move_by_adagrad() -> None:
    table = _Table(torch.ones(4, 2))
    grads = torch.tensor([[1.0, 0.0], [3.0, 4.0], [2.0, 0.0]])
    table.step(torch.tensor([2, 0, 2]), grads, lr=0.5)
    # Equal rows are summed first: (3, 0) with mean square 4.5, and 12.5 for (3, 4).
    moved = torch.tensor([[3.0 / 12.5**0.5, 4.0 / 12.5**0.5], [3.0 / 4.5**0.5, 0.0]])
    torch.testing.assert_close(table.vectors[[0, 2]], 1.0 - 0.5 * moved)
    assert torch.equal(table.vectors[[1, 3]], torch.ones(2, 2))
    table.step(torch.tensor([2]), torch.tensor([[0.0, 3.0]]), lr=1.0)
    assert float(table.vectors[2, 1]) == pytest.approx(1.0 - 3.0 / 9.0**0.5)


@ALL
def test_groups_are_told_apart(vectors) -> None:
    # Forty nodes take few steps a walk.
    found = vectors(two_groups(), 8, **{**SMALL, "walks_per_node": 200})
    first, second = found[:20].mean(dim=0), found[20:40].mean(dim=0)
    closer = (found[:40] - first).norm(dim=1) < (found[:40] - second).norm(dim=1)
    assert int(closer[:20].sum()) >= 19
    assert int(closer[20:].sum()) <= 1


@ALL
def test_a_node_alone_is_zero(vectors) -> None:
    found = vectors(two_groups(), 4, **SMALL)
    assert found.shape == (41, 4)
    assert not found[40].any()
    assert (found[:40].norm(dim=1) > 1e-3).all()


@ALL
def test_seeds_and_progress(vectors) -> None:
    told = []
    first = vectors(
        two_groups(), 4, **SMALL, progress=lambda done, stage: told.append(done)
    )
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert torch.equal(first, vectors(two_groups(), 4, **SMALL))
    assert not torch.equal(first, vectors(two_groups(), 4, **SMALL, seed=1))


def test_a_budget_of_pairs_cuts_walks() -> None:
    # A walk of 10 nodes has 2 (9 + 8 + 7) pairs within 3 steps: 20 walks of them.
    counted = []
    deepwalk_vectors(
        two_groups(),
        4,
        **SMALL,
        max_pairs=48 * 20 + 47,
        progress=lambda done, _: counted.append(done),
    )
    assert counted == pytest.approx([16 / 20, 1.0])


@ALL
@pytest.mark.parametrize(
    "options",
    [
        {"dim": 0},
        {"walk_length": 1},
        {"window": 0},
        {"walks_per_node": 0},
        {"max_pairs": 0},
        {"negative": -1.0},
    ],
)
def test_bad_input(vectors, options) -> None:
    with pytest.raises(ValueError, match=rf"{vectors.__name__} expects dim, window"):
        vectors(two_groups(), **options)
