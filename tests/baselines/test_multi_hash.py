"""Several hashes, with weights and without: formulas, gradients, bytes."""

import pytest
import torch

from kdgraph.baselines import BloomEmbedding, FullEmbedding, MultiHashEmbedding

KINDS = (MultiHashEmbedding, BloomEmbedding)


def by_loop(encoder):
    """All vectors, from the papers' sums and hashes in Python's integers."""
    rows = []
    for node in range(encoder.num_nodes):
        x = torch.zeros(encoder.embedding_dim, dtype=encoder.weight.dtype)
        for number, (a, b) in enumerate(encoder.hashes.constants.t().tolist()):
            bucket = ((a * node + b) % 2**64 >> 32) * encoder.num_buckets >> 32
            weight = 1.0
            if isinstance(encoder, MultiHashEmbedding):
                weight = encoder.importance[node, number]
            x = x + weight * encoder.weight[bucket]
        rows.append(x)
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("buckets", "hashes"), [(7, 2), (1, 3), (30, 1)])
def test_vectors_and_gradients_are_those_of_the_loop(kind, buckets, hashes):
    encoder = kind(20, 5, buckets, num_hashes=hashes).double()
    ids, upstream = torch.tensor([3, 19, 3, 0]), torch.randn(4, 5).double()
    torch.testing.assert_close(encoder(), by_loop(encoder))
    parameters = list(encoder.parameters())
    found = torch.autograd.grad((encoder(ids) * upstream).sum(), parameters)
    loop = (by_loop(encoder)[ids] * upstream).sum()
    torch.testing.assert_close(found, torch.autograd.grad(loop, parameters))


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_gradients_are_the_dense_ones(kind):
    dense, sparse = kind(20, 5, 7), kind(20, 5, 7, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    for encoder in (dense, sparse):
        encoder(torch.tensor([3, 19, 3])).square().sum().backward()
    for left, right in zip(dense.parameters(), sparse.parameters(), strict=True):
        assert right.grad.is_sparse
        torch.testing.assert_close(right.grad.to_dense(), left.grad)


def test_weights_tell_nodes_apart_whose_rows_collide():
    torch.manual_seed(1)
    weighted, plain = MultiHashEmbedding(9, 4, 1), BloomEmbedding(9, 4, 1)
    assert weighted().unique(dim=0).size(0) == 9
    assert plain().unique(dim=0).size(0) == 1


def test_hash_embeddings_start_close_to_zero():
    encoder = MultiHashEmbedding(4000, 64, 500)
    assert abs(float(encoder.weight.detach().std()) - 0.1) < 0.002
    assert abs(float(encoder.importance.detach().std()) - 0.0005) < 0.00002


def test_bloom_starts_with_the_variance_of_a_full_table():
    bloom, full = BloomEmbedding(4000, 64, 3000), FullEmbedding(4000, 64)
    ratio = float(bloom().detach().var() / full().detach().var())
    assert 0.9 < ratio < 1.1


def test_bytes_by_hand_and_the_most_that_fit():
    weighted, plain = MultiHashEmbedding(40, 5, 7), BloomEmbedding(40, 5, 7)
    assert weighted.inference_bytes() == 4 * 7 * 5 + 4 * 40 * 2 + 32 == 492
    assert weighted.training_bytes("adam") == 16 * (7 * 5 + 40 * 2) + 32
    assert plain.inference_bytes() == 4 * 7 * 5 + 64 == 204
    assert MultiHashEmbedding.within(492, 40, 5, sparse=True).num_buckets == 7
    assert MultiHashEmbedding.within(491, 40, 5).num_buckets == 6
    assert MultiHashEmbedding.within(668, 40, 5, num_hashes=3).num_buckets == 7
    assert BloomEmbedding.within(204, 40, 5, sparse=True).num_buckets == 7
    assert BloomEmbedding.within(203, 40, 5).num_buckets == 6
    assert BloomEmbedding.within(10**9, 40, 5, num_hashes=2).num_buckets == 40
    for kind in KINDS:
        with torch.device("meta"):
            huge = kind.within(10**10, 10**9, 128)
        assert 10**10 - 4 * 128 < huge.inference_bytes() <= 10**10


@pytest.mark.parametrize("kind", KINDS)
def test_bad_sizes(kind):
    with pytest.raises(ValueError, match=f"{kind.__name__} does not fit .*allow more"):
        kind.within(50, 40, 5)
    with pytest.raises(ValueError, match=f"{kind.__name__} expects num_buckets"):
        kind(40, 5, 0)
    with pytest.raises(TypeError, match=f"{kind.__name__} expects num_hashes"):
        kind(40, 5, 7, num_hashes=2.0)
