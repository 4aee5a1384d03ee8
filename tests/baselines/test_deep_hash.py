"""Deep hash embeddings: the network by loops, its input, statistics, bytes."""

import math

import pytest
import torch

from kdgraph.baselines import DeepHashEmbedding


def inputs_of(encoder):
    """The numbers a node is known by, from hashes in Python's integers."""
    rows = []
    for node in range(encoder.num_nodes):
        row = []
        for a, b in encoder.hashes.constants.t().tolist():
            bucket = ((a * node + b) % 2**64 >> 32) * 10**6 >> 32
            row.append(2 * bucket / (10**6 - 1) - 1)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def by_formula(encoder, x, ids, *, training):
    """The network, with Mish and normalisation spelled out."""
    x = x[ids]
    for layer, norm in zip(encoder.hidden, encoder.norms, strict=True):
        x = x @ layer.weight.t()
        if encoder.batch_norm:
            mean, var = norm.running_mean, norm.running_var
            if training:
                mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
            x = (x - mean) / (var + 1e-5).sqrt() * norm.weight + norm.bias
        else:
            x = x + layer.bias
        x = x * (1 + x.exp()).log().tanh()
    return x @ encoder.last.weight.t() + encoder.last.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_vectors_and_gradients_are_those_of_the_network(batch_norm, training, scramble):
    encoder = DeepHashEmbedding(
        20, 5, 4, num_hashes=6, num_layers=2, batch_norm=batch_norm
    ).double()
    scramble(encoder)
    encoder.train(training)
    ids, upstream = torch.tensor([3, 19, 3, 0]), torch.randn(4, 5).double()
    expected = by_formula(encoder, inputs_of(encoder), ids, training=training)
    parameters = list(encoder.parameters())
    wanted = torch.autograd.grad((expected * upstream).sum(), parameters)
    x = encoder(ids)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad((x * upstream).sum(), parameters)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_hashes_are_uniform():
    values = inputs_of(DeepHashEmbedding(2000, 2, 1, num_hashes=3))
    assert -1 <= values.min() < -0.99 < 0.99 < values.max() <= 1
    assert values.mean(dim=0).abs().max() < 0.05
    assert (values.std(dim=0) - 1 / math.sqrt(3)).abs().max() < 0.05


def test_a_reset_forgets_running_statistics():
    encoder = DeepHashEmbedding(20, 5, 4, num_hashes=6)
    encoder()
    assert all(norm.running_mean.any() for norm in encoder.norms)
    encoder.reset_parameters()
    for norm in encoder.norms:
        assert not norm.running_mean.any()
        assert (norm.running_var == 1).all()


def test_bytes_by_hand():
    normed = DeepHashEmbedding(99, 5, 4, num_hashes=6, num_layers=3)
    maps = 6 * 4 + 4 * 4 + 4 * 4 + 4 * 5 + 5
    assert normed.inference_bytes() == 4 * (maps + 3 * 4 * 4) + 3 * 8 + 16 * 6
    plain = DeepHashEmbedding(99, 5, 4, num_hashes=6, num_layers=1, batch_norm=False)
    assert plain.inference_bytes() == 4 * (6 * 4 + 4 + 4 * 5 + 5) + 16 * 6
    assert plain.training_bytes("adam") == 16 * (6 * 4 + 4 + 4 * 5 + 5) + 16 * 6


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
def test_within_is_the_widest_that_fits(layers, batch_norm):
    options = {"num_hashes": 6, "num_layers": layers, "batch_norm": batch_norm}
    for width in (1, 4, 9):
        exact = DeepHashEmbedding(99, 5, width, **options).inference_bytes()
        found = DeepHashEmbedding.within(exact, 99, 5, **options)
        assert (found.hidden_dim, found.inference_bytes()) == (width, exact)
        if width > 1:
            less = DeepHashEmbedding.within(exact - 1, 99, 5, **options)
            assert less.hidden_dim == width - 1


def test_within_without_memory():
    with torch.device("meta"):
        encoder = DeepHashEmbedding.within(10**8, 10**9, 128)
    assert 0.99 * 10**8 < encoder.inference_bytes() <= 10**8


def test_bad_sizes():
    with pytest.raises(ValueError, match="hidden_dim 1 takes .* bytes; allow more"):
        DeepHashEmbedding.within(2000, 99, 5)
    with pytest.raises(ValueError, match="DeepHashEmbedding expects hidden_dim"):
        DeepHashEmbedding(99, 5, 0)
    with pytest.raises(ValueError, match="DeepHashEmbedding expects num_layers"):
        DeepHashEmbedding(99, 5, 4, num_layers=0)
    with pytest.raises(TypeError, match="DeepHashEmbedding expects num_hashes"):
        DeepHashEmbedding(99, 5, 4, num_hashes=6.0)
