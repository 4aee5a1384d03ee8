"""Spreading against dense algebra."""

import warnings

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.baselines.spreading import Spreading, clamp_labels


@pytest.fixture
def dense():
    """Weighted and symmetric: 30 nodes, two components of 15, the last two isolated."""
    rng = np.random.default_rng(0)
    found = np.triu(rng.random((30, 30)) * (rng.random((30, 30)) < 0.3), 1)
    found[:15, 15:] = 0.0
    found[:, 28:] = 0.0
    return found + found.T


@pytest.fixture
def seeds():
    return torch.rand(30, 5)


def normalised(dense):
    degree = dense.sum(axis=1)
    scale = np.array([d**-0.5 if d > 0 else 0.0 for d in degree])
    return scale[:, None] * dense * scale[None, :]


def spread(dense, seeds, alpha, num_steps, **options):
    return Spreading(sparse.csr_array(dense), **options)(seeds, alpha, num_steps)


@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_many_steps_reach_the_closed_form(dense, seeds, alpha):
    system = np.eye(30) - alpha * normalised(dense)
    limit = (1 - alpha) * np.linalg.solve(system, seeds.double().numpy())
    found = spread(dense, seeds, alpha, 300)
    torch.testing.assert_close(found, torch.from_numpy(limit).float())


def test_directed_rows_hear(seeds):
    """Row v holds what v hears from; both factors are sums of rows."""
    rng = np.random.default_rng(3)
    dense = (rng.random((30, 30)) < 0.2).astype(np.float64)
    scores = seeds.double().numpy()
    for _ in range(4):
        scores = 0.7 * normalised(dense) @ scores + 0.3 * seeds.double().numpy()
    found = spread(dense, seeds, 0.7, 4)
    torch.testing.assert_close(found, torch.from_numpy(scores).float())


def test_sources_are_divided_by_their_own_degree(dense, seeds):
    degree = dense.sum(axis=0)
    walk = dense / np.where(degree > 0, degree, 1.0)[None, :]
    system = np.eye(30) - 0.8 * walk
    limit = 0.2 * np.linalg.solve(system, seeds.double().numpy())
    found = spread(dense, seeds, 0.8, 300, normalization="source")
    torch.testing.assert_close(found, torch.from_numpy(limit).float())
    # A walk loses nothing: what is seeded in a component stays in it.
    inside = found[:28].sum(dim=0)
    torch.testing.assert_close(inside, seeds[:28].sum(dim=0))


def test_clamped_is_label_propagation_of_pyg(dense, seeds):
    from torch_geometric.nn import LabelPropagation

    pattern = (dense > 0).astype(np.float64)
    # A hub that hears from all: its scores would pass 1.
    pattern[0, 1:28] = pattern[1:28, 0] = 1.0
    y, mask = torch.arange(30) % 5, torch.arange(30) % 2 == 0
    rows, columns = pattern.nonzero()
    edges = torch.from_numpy(np.stack([columns, rows]))
    expected = LabelPropagation(num_layers=20, alpha=0.9)(y, edges, mask)
    labels = torch.nn.functional.one_hot(y, 5).float() * mask[:, None]
    found = Spreading(sparse.csr_array(pattern))(labels, 0.9, 20, clamp=True)
    torch.testing.assert_close(found, expected)


def test_hub_drowns_nothing_where_scores_are_clamped():
    star = np.zeros((31, 31))
    star[0, 1:] = star[1:, 0] = 1.0
    spread = Spreading(sparse.csr_array(star), normalization="source")
    leaves = torch.ones(31, 1)
    leaves[0] = 0.0
    # It hears 30 leaves whole: 0.9 x 30 x 0.1 after a step from what they keep.
    assert float(spread(0.1 * leaves, 0.9, 1)[0, 0]) == pytest.approx(2.7)
    assert float(spread(0.1 * leaves, 0.9, 1, clamp=True)[0, 0]) == 1.0


def test_other_normalisation_is_refused(dense):
    with pytest.raises(ValueError, match="'symmetric' or 'source', got 'both'"):
        spread(dense, torch.ones(30, 1), 0.5, 1, normalization="both")


def test_steps_compose_linearly(dense, seeds):
    both = spread(dense, torch.cat([seeds, 2 * seeds + 1], dim=1), 0.6, 7)
    ones = spread(dense, torch.ones(30, 1), 0.6, 7)
    torch.testing.assert_close(both[:, 5:], 2 * both[:, :5] + ones)


def test_no_steps_and_no_neighbours(dense, seeds):
    kept = seeds.clone()
    untouched = spread(dense, seeds, 0.9, 0)
    assert torch.equal(untouched, seeds)
    untouched.zero_()  # a copy
    torch.testing.assert_close(spread(dense, seeds, 0.0, 9), seeds)
    assert torch.equal(seeds, kept)


def test_isolated_nodes_keep_a_share_of_their_own(dense, seeds):
    found = spread(dense, seeds, 0.8, 20)
    torch.testing.assert_close(found[28:], 0.2 * seeds[28:])


def test_components_do_not_hear_each_other(dense, seeds):
    seeds[15:] = 0.0
    found = spread(dense, seeds, 0.9, 20)
    assert not found[15:].any()
    assert (found[:15][dense[:15].any(axis=1)] > 0).all()


def test_order_of_nodes_does_not_matter(dense, seeds):
    order = np.random.default_rng(1).permutation(30)
    moved = spread(dense[order][:, order], seeds[order], 0.9, 20)
    torch.testing.assert_close(moved, spread(dense, seeds, 0.9, 20)[order])


@pytest.mark.parametrize("memory", [0, 12 * 30, 2 * 12 * 30 + 5, 12 * 30 * 5])
def test_blocks_of_columns_change_nothing(dense, seeds, memory):
    whole = spread(dense, seeds, 0.9, 10)
    torch.testing.assert_close(spread(dense, seeds, 0.9, 10, memory=memory), whole)


def test_duplicate_edges_add_up(seeds):
    twice = sparse.csr_array(
        (np.ones(6), np.array([1, 1, 0, 0, 2, 1]), np.array([0, 2, 5, 6])), shape=(3, 3)
    )
    once = sparse.csr_array(np.array([[0.0, 2, 0], [2, 0, 1], [0, 1, 0]]))
    first, second = (Spreading(adj)(seeds[:3], 0.5, 5) for adj in (twice, once))
    torch.testing.assert_close(first, second)


def test_buffers_that_are_mapped_from_a_file(dense, seeds):
    mapped = sparse.csr_array(dense)
    for buffer in (mapped.data, mapped.indices, mapped.indptr):
        buffer.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Spreading(mapped)(seeds, 0.9)
    assert torch.equal(found, spread(dense, seeds, 0.9, 20))


def test_seeds_of_another_type(dense, seeds):
    found = spread(dense, seeds.double().requires_grad_(), 0.9, 5)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(found, spread(dense, seeds, 0.9, 5))


def test_without_edges(seeds):
    torch.testing.assert_close(spread(np.zeros((30, 30)), seeds, 0.9, 3), 0.1 * seeds)


@pytest.mark.parametrize(
    ("adj", "error", "sentence"),
    [
        (np.eye(3), TypeError, "expects a scipy.sparse adjacency, got ndarray"),
        (sparse.csr_array((2, 3)), ValueError, r"square adjacency, got shape \(2, 3\)"),
        (sparse.csr_array([[0, -1], [1, 0]]), ValueError, "at least 0, got -1 to 1"),
        (sparse.csr_array([[0, np.nan], [1, 0]]), ValueError, "finite and at least 0"),
    ],
)
def test_refused_adjacencies(adj, error, sentence):
    with pytest.raises(error, match=f"Spreading.*{sentence}"):
        Spreading(adj)


@pytest.mark.parametrize("numbers", [(1.0, 5), (-0.1, 5), (0.5, -1), (np.nan, 5)])
def test_refused_numbers(dense, seeds, numbers):
    with pytest.raises(ValueError, match=r"Spreading expects alpha in \[0, 1\)"):
        spread(dense, seeds, *numbers)


@pytest.mark.parametrize("shape", [(29, 5), (30,)])
def test_refused_seeds(dense, shape):
    with pytest.raises(ValueError, match=r"seeds of shape \[30, T\], got \["):
        spread(dense, torch.zeros(shape), 0.5, 1)


def test_clamped_classes_by_hand():
    scores = torch.full((4, 3), 0.25)
    y, known = torch.tensor([2, 0, -1, 1]), torch.tensor([3, 0, 2])
    found = clamp_labels(scores, y, known)
    expected = [[0, 0, 1], [0.25] * 3, [0.25] * 3, [0, 1, 0]]
    assert found.tolist() == expected
    assert found is scores


def test_clamped_labels_by_hand():
    y = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    found = clamp_labels(torch.full((3, 2), 0.5), y, torch.tensor([2, 0]))
    assert found.tolist() == [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0]]
