"""Vectors that stay as they were given."""

import pytest
import torch

from kdgraph.baselines import FrozenEmbedding


def test_vectors_are_those_given():
    vectors = torch.randn(7, 3)
    encoder = FrozenEmbedding(vectors)
    assert torch.equal(encoder(), vectors)
    assert torch.equal(encoder(torch.tensor([[4, 0]])), vectors[[4, 0]][None])
    encoder.reset_parameters()
    assert torch.equal(encoder(), vectors)


def test_nothing_is_trained():
    encoder = FrozenEmbedding(torch.randn(7, 3, requires_grad=True))
    assert not encoder().requires_grad
    assert list(encoder.parameters()) == []
    assert encoder.inference_bytes() == encoder.training_bytes() == 4 * 7 * 3


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (torch.ones(3, 2, dtype=torch.long), TypeError, "got torch.int64"),
        ([[1.0]], TypeError, "got <class 'list'>"),
        (torch.ones(3), ValueError, r"got shape \(3,\)"),
        (torch.ones(0, 3), ValueError, r"got shape \(0, 3\)"),
    ],
)
def test_bad_input(vectors, error, message):
    with pytest.raises(error, match=message):
        FrozenEmbedding(vectors)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_vectors_that_are_not_finite_are_refused(bad):
    vectors = torch.zeros(3, 2)
    vectors[1, 1] = bad
    with pytest.raises(ValueError, match="FrozenEmbedding expects finite vectors"):
        FrozenEmbedding(vectors)
