"""Tables, products and label propagation against dense references."""

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.baselines import FullEmbedding, LabelPropagation, LowRankEmbedding


def test_full_is_a_table():
    encoder = FullEmbedding(30, 4)
    assert torch.equal(encoder(torch.tensor([2, 9])), encoder.weight[[2, 9]])
    assert encoder.inference_bytes() == 4 * 30 * 4
    assert encoder.training_bytes("adam") == 16 * 30 * 4
    assert encoder.double().inference_bytes() == 8 * 30 * 4
    limit = (6 / (30 + 4)) ** 0.5
    assert float(encoder.weight.detach().abs().max()) <= limit


def test_low_rank_is_a_product():
    encoder = LowRankEmbedding(30, 8, 3).double()
    expected = encoder.rows @ encoder.columns
    torch.testing.assert_close(encoder(), expected)
    assert torch.linalg.matrix_rank(encoder()) == 3
    assert encoder.inference_bytes() == 8 * 3 * (30 + 8)
    assert repr(encoder) == "LowRankEmbedding(30, 8, rank=3)"


@pytest.mark.parametrize("rank", [1, 2, 5, 8])
def test_low_rank_of_bytes_is_the_largest_that_fits(rank):
    exact = 4 * rank * (30 + 8)
    assert LowRankEmbedding(30, 8, max_bytes=exact).rank == rank
    encoder = LowRankEmbedding(30, 8, max_bytes=exact + 4 * 38 - 1)
    assert encoder.rank == rank
    assert encoder.inference_bytes() <= exact + 4 * 38 - 1
    if rank > 1:
        assert LowRankEmbedding(30, 8, max_bytes=exact - 1).rank == rank - 1


def test_low_rank_never_exceeds_full_rank():
    assert LowRankEmbedding(30, 8, max_bytes=10**9).rank == 8
    assert LowRankEmbedding(3, 8, max_bytes=10**9).rank == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, ValueError),
        ({"rank": 2, "max_bytes": 1000}, ValueError),
        ({"rank": 0}, ValueError),
        ({"rank": 9}, ValueError),
        ({"rank": 2.0}, TypeError),
        ({"max_bytes": 151}, ValueError),
    ],
)
def test_low_rank_errors(options, error):
    with pytest.raises(error, match="LowRankEmbedding"):
        LowRankEmbedding(30, 8, **options)


def test_low_rank_starts_with_the_variance_of_a_full_table():
    low, full = LowRankEmbedding(4000, 64, 16), FullEmbedding(4000, 64)
    ratio = float(low().detach().var() / full().detach().var())
    assert 0.7 < ratio < 1.4


# --- label propagation ----------------------------------------------------------------


@pytest.fixture
def graph():
    """40 nodes, the last five isolated, one self-loop; symmetric."""
    rng = np.random.default_rng(1)
    dense = (rng.random((40, 40)) < 0.1).astype(np.float64)
    dense = np.maximum(dense, dense.T)
    np.fill_diagonal(dense, 0.0)
    dense[3, 3] = 1.0
    dense[35:] = 0.0
    dense[:, 35:] = 0.0
    y = torch.from_numpy(rng.integers(0, 3, 40))
    train_idx = torch.tensor([0, 5, 7, 11, 36])
    return dense, y, train_idx


def spread_matrix(dense):
    degree = dense.sum(axis=1)
    scale = np.array([d**-0.5 if d > 0 else 0.0 for d in degree])
    return scale[:, None] * dense * scale[None, :]


def one_hot(y, train_idx):
    seeds = np.zeros((40, 3))
    for node in train_idx.tolist():
        seeds[node, int(y[node])] = 1.0
    return seeds


@pytest.mark.parametrize("num_steps", [0, 1, 7])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_label_propagation_is_the_loop(graph, alpha, num_steps):
    dense, y, train_idx = graph
    found = LabelPropagation(alpha, num_steps)(sparse.csr_array(dense), y, train_idx, 3)
    spread, seeds = spread_matrix(dense), one_hot(y, train_idx)
    scores = seeds
    for _ in range(num_steps):
        scores = alpha * spread @ scores + (1 - alpha) * seeds
    torch.testing.assert_close(found, torch.from_numpy(scores).float())


def test_label_propagation_converges_to_the_closed_form(graph):
    dense, y, train_idx = graph
    found = LabelPropagation(0.8, 400)(sparse.csr_array(dense), y, train_idx, 3)
    system = np.eye(40) - 0.8 * spread_matrix(dense)
    limit = 0.2 * np.linalg.solve(system, one_hot(y, train_idx))
    torch.testing.assert_close(
        found, torch.from_numpy(limit).float(), atol=1e-6, rtol=1e-4
    )


def test_isolated_nodes(graph):
    dense, y, train_idx = graph
    scores = LabelPropagation()(sparse.csr_array(dense), y, train_idx, 3)
    assert torch.isfinite(scores).all()
    assert not scores[[35, 37, 38, 39]].any()
    assert int(scores[36].argmax()) == int(y[36])


def test_labels_of_others_are_not_read(graph):
    dense, y, train_idx = graph
    other = y.clone()
    hidden = torch.ones(40, dtype=torch.bool)
    hidden[train_idx] = False
    other[hidden] = -1
    adj = sparse.csr_array(dense)
    first = LabelPropagation()(adj, y, train_idx, 3)
    assert torch.equal(LabelPropagation()(adj, other, train_idx, 3), first)


def test_many_labels_are_one_by_one(graph):
    dense, _, train_idx = graph
    adj = sparse.csr_array(dense.astype(np.float32))
    many = torch.randint(2, (40, 3)).float()
    scores = LabelPropagation(0.7, 9)(adj, many, train_idx, 3)
    for label in range(3):
        alone = LabelPropagation(0.7, 9)(
            adj, many[:, label].long(), train_idx[many[train_idx, label] > 0], 2
        )
        torch.testing.assert_close(scores[:, label], alone[:, 1])


@pytest.mark.parametrize(
    "options", [{"alpha": 1.0}, {"alpha": -0.1}, {"num_steps": -1}], ids=str
)
def test_label_propagation_errors(options):
    with pytest.raises(ValueError, match="LabelPropagation"):
        LabelPropagation(**options)
