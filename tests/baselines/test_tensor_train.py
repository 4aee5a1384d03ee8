"""Tensor trains: the formula, the factors, and the bytes."""

import pytest
import torch

from kdgraph.baselines import TensorTrainEmbedding
from kdgraph.baselines.tensor_train import dividing_factors


def row_of(table, node):
    """One vector by the formula, in float64, number by number."""
    (_, p2, p3), (q1, q2, q3) = table.num_rows, table.num_columns
    digits = node // (p2 * p3), node // p3 % p2, node % p3
    first, middle, last = (core.detach().double() for core in table.parameters())
    return torch.stack(
        [
            first[digits[0], c1] @ middle[digits[1], :, c2, :] @ last[digits[2], :, c3]
            for c1 in range(q1)
            for c2 in range(q2)
            for c3 in range(q3)
        ]
    )


@pytest.mark.parametrize(
    ("nodes", "dim", "options"),
    [
        (23, 8, {"rank": 3}),
        (1, 1, {"rank": 1}),
        (30, 12, {"rank": 2, "num_rows": (2, 3, 5), "num_columns": (2, 3, 2)}),
        (7, 7, {"rank": 4}),
    ],
)
def test_rows_are_products_of_cores(nodes, dim, options):
    table = TensorTrainEmbedding(nodes, dim, **options)
    expected = torch.stack([row_of(table, node) for node in range(nodes)]).float()
    torch.testing.assert_close(table(), expected)
    ids = torch.randint(nodes, (nodes // 2 + 1,))
    torch.testing.assert_close(table(ids), expected[ids])


def test_gradient_is_that_of_the_formula():
    table = TensorTrainEmbedding(11, 6, rank=2).double()
    cores = [core.detach().clone().requires_grad_() for core in table.parameters()]
    ids = torch.tensor([0, 7, 7, 10])

    def vectors(*values):
        state = dict(zip(("first", "middle", "last"), values, strict=True))
        return torch.func.functional_call(table, state, (ids,))

    assert torch.autograd.gradcheck(vectors, cores)


def test_bytes_by_hand():
    # (3, 3, 3) rows and (2, 2, 2) columns: 6 r + 6 r^2 + 6 r floats.
    table = TensorTrainEmbedding(27, 8, rank=4)
    assert table.num_rows == (3, 3, 3)
    assert table.inference_bytes() == 4 * (24 + 96 + 24)
    assert table.training_bytes() == 16 * (24 + 96 + 24)
    # The authors' shapes at rank 8: 19,392 numbers.
    arxiv = TensorTrainEmbedding(169_343, 128, rank=8)
    assert (arxiv.num_rows, arxiv.num_columns) == ((55, 55, 56), (8, 4, 4))
    assert arxiv.inference_bytes() == 4 * 19_392


def test_largest_rank_within():
    exact = TensorTrainEmbedding(500, 16, rank=5).inference_bytes()
    assert TensorTrainEmbedding.within(exact, 500, 16).rank == 5
    assert TensorTrainEmbedding.within(exact - 1, 500, 16).rank == 4
    most = TensorTrainEmbedding.within(10**9, 500, 16)
    # A contraction of three cores is no wider than what is on either side of it.
    (p1, _, p3), (q1, _, q3) = most.num_rows, most.num_columns
    assert most.rank == max(p1 * q1, p3 * q3)
    with pytest.raises(ValueError, match="rank 1 takes .* bytes; allow more"):
        TensorTrainEmbedding.within(10, 500, 16)


def test_factors():
    assert dividing_factors(128) == (8, 4, 4)
    assert dividing_factors(97) == (97, 1, 1)
    assert dividing_factors(64) == (4, 4, 4)


def test_start_has_the_variance_of_glorot():
    table = TensorTrainEmbedding(5000, 64, rank=8)
    assert float(table().detach().var()) == pytest.approx(2 / 5064, rel=0.15)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank of at least 1"),
        ({"rank": 2.0}, TypeError, "rank as an integer"),
        ({"rank": 2, "num_rows": (2, 2, 2)}, ValueError, "at least num_nodes=23"),
        ({"rank": 2, "num_rows": (30, 1)}, ValueError, "three numbers as num_rows"),
        ({"rank": 2, "num_columns": (2, 2, 3)}, ValueError, "embedding_dim=8"),
        ({"rank": 2, "num_columns": (8, 1, 0)}, ValueError, "at least 1"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        TensorTrainEmbedding(23, 8, **options)
