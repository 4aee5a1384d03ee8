"""Quotient and remainder: the formula, that nodes differ, variance, bytes."""

import math

import pytest
import torch

from kdgraph.baselines import FullEmbedding, QuotientRemainderEmbedding

OPERATIONS = ("sum", "product", "concat")


def by_loop(encoder, node):
    quotient, remainder = divmod(node, encoder.num_remainders)
    first, second = encoder.remainders[remainder], encoder.quotients[quotient]
    if encoder.operation == "concat":
        return torch.tensor(first.tolist() + second.tolist(), dtype=first.dtype)
    return first + second if encoder.operation == "sum" else first * second


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("remainders", [1, 4, 5, 20])
def test_formula(operation, remainders):
    encoder = QuotientRemainderEmbedding(20, 5, remainders, operation=operation)
    expected = torch.stack([by_loop(encoder, node) for node in range(20)])
    assert torch.equal(encoder(), expected)
    ids = torch.tensor([[19, 0], [7, 19]])
    assert torch.equal(encoder(ids), expected[ids])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_two_nodes_are_alike(operation):
    encoder = QuotientRemainderEmbedding(50, 6, 8, operation=operation)
    assert encoder().unique(dim=0).size(0) == 50


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients(operation):
    encoder = QuotientRemainderEmbedding(20, 5, 6, operation=operation).double()
    ids = torch.tensor([3, 19, 3, 9])

    def vectors(remainders, quotients):
        state = {"remainders": remainders, "quotients": quotients}
        return torch.func.functional_call(encoder, state, (ids,))

    tables = [table.detach().requires_grad_() for table in encoder.parameters()]
    assert torch.autograd.gradcheck(vectors, tables)
    dense = torch.autograd.grad(encoder(ids).square().sum(), encoder.parameters())
    encoder.sparse = True
    sparse = torch.autograd.grad(encoder(ids).square().sum(), encoder.parameters())
    for left, right in zip(dense, sparse, strict=True):
        assert right.is_sparse
        torch.testing.assert_close(right.to_dense(), left)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_vectors_start_with_the_variance_of_a_full_table(operation):
    encoder = QuotientRemainderEmbedding(40_000, 64, 200, operation=operation)
    full = FullEmbedding(40_000, 64)
    ratio = float(encoder().detach().var() / full().detach().var())
    assert 0.9 < ratio < 1.1


def test_bytes_by_hand():
    product = QuotientRemainderEmbedding(20, 5, 6)
    assert product.inference_bytes() == 4 * (6 + 4) * 5
    assert product.training_bytes("adam") == 16 * (6 + 4) * 5
    halves = QuotientRemainderEmbedding(20, 5, 6, operation="concat")
    assert halves.inference_bytes() == 4 * (6 * 3 + 4 * 2)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("num_nodes", [1, 2, 20, 49, 50])
def test_within_is_the_most_remainders_that_fit(operation, num_nodes):
    def bytes_of(remainders):
        return QuotientRemainderEmbedding(
            num_nodes, 5, remainders, operation=operation
        ).inference_bytes()

    least = math.ceil(math.sqrt(num_nodes))
    for budget in range(bytes_of(least), bytes_of(num_nodes) + 40, 12):
        found = QuotientRemainderEmbedding.within(
            budget, num_nodes, 5, operation=operation, sparse=True
        )
        fitting = [m for m in range(1, num_nodes + 1) if bytes_of(m) <= budget]
        assert found.num_remainders == max(fitting)
        assert found.sparse
    with pytest.raises(ValueError, match=f"num_remainders {least}.*allow more"):
        QuotientRemainderEmbedding.within(
            bytes_of(least) - 1, num_nodes, 5, operation=operation
        )


def test_within_without_memory():
    with torch.device("meta"):
        huge = QuotientRemainderEmbedding.within(10**10, 10**9, 128)
    assert 10**10 - 4 * 128 < huge.inference_bytes() <= 10**10


def test_bad_input():
    with pytest.raises(ValueError, match="at most N = 20, got 21"):
        QuotientRemainderEmbedding(20, 5, 21)
    with pytest.raises(ValueError, match="num_remainders of at least 1"):
        QuotientRemainderEmbedding(20, 5, 0)
    with pytest.raises(TypeError, match="num_remainders as an integer"):
        QuotientRemainderEmbedding(20, 5, 4.0)
    with pytest.raises(ValueError, match="'concat', got 'mean'"):
        QuotientRemainderEmbedding(20, 5, 4, operation="mean")
    with pytest.raises(ValueError, match="'concat', got 'mean'"):
        QuotientRemainderEmbedding.within(10**6, 20, 5, operation="mean")
    with pytest.raises(ValueError, match="at least 2 for operation 'concat', got 1"):
        QuotientRemainderEmbedding(20, 1, 4, operation="concat")
