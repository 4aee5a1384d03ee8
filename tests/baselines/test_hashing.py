"""One hash: rows by bucket, whom they are shared with, and bytes."""

import pytest
import torch

from kdgraph.baselines import FullEmbedding, HashingEmbedding


def test_vectors_are_the_rows_of_buckets():
    encoder = HashingEmbedding(40, 5, 7)
    a, b = encoder.hashes.constants[:, 0].tolist()
    for node in range(40):
        bucket = ((a * node + b) % 2**64 >> 32) * 7 >> 32
        assert torch.equal(encoder(torch.tensor(node)), encoder.weight[bucket])


def test_nodes_of_a_bucket_share_their_gradient():
    encoder = HashingEmbedding(40, 5, 7)
    upstream = torch.randn(40, 5)
    (encoder() * upstream).sum().backward()
    expected = torch.zeros(7, 5)
    for node, bucket in enumerate(encoder.hashes(None)[:, 0].tolist()):
        expected[bucket] += upstream[node]
    torch.testing.assert_close(encoder.weight.grad, expected)


def test_one_bucket_is_one_vector():
    x = HashingEmbedding(9, 4, 1)()
    assert torch.equal(x, x[:1].expand(9, 4))


def test_sparse_gradients_are_of_the_batch_alone():
    dense, ids = HashingEmbedding(40, 5, 7), torch.tensor([3, 3, 9])
    sparse = HashingEmbedding(40, 5, 7, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    for encoder in (dense, sparse):
        encoder(ids).square().sum().backward()
    assert sparse.weight.grad.is_sparse
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_rows_start_with_the_variance_of_a_full_table():
    hashed, full = HashingEmbedding(4000, 64, 500), FullEmbedding(4000, 64)
    ratio = float(hashed.weight.detach().var() / full.weight.detach().var())
    assert 0.9 < ratio < 1.1


def test_bytes_by_hand_and_the_most_that_fit():
    assert HashingEmbedding(40, 5, 7).inference_bytes() == 4 * 7 * 5 + 16
    assert HashingEmbedding(40, 5, 7).training_bytes("adam") == 16 * 7 * 5 + 16
    assert HashingEmbedding.within(156, 40, 5, sparse=True).num_buckets == 7
    assert HashingEmbedding.within(155, 40, 5).num_buckets == 6
    assert HashingEmbedding.within(10**9, 40, 5).num_buckets == 40
    with torch.device("meta"):
        huge = HashingEmbedding.within(10**10, 10**9, 128)
    assert 10**10 - 4 * 128 < huge.inference_bytes() <= 10**10


def test_bad_sizes():
    with pytest.raises(ValueError, match="num_buckets 1 takes 36 bytes; allow more"):
        HashingEmbedding.within(35, 40, 5)
    with pytest.raises(ValueError, match="HashingEmbedding expects num_buckets"):
        HashingEmbedding(40, 5, 0)
    with pytest.raises(TypeError, match="HashingEmbedding expects num_buckets"):
        HashingEmbedding(40, 5, 2.5)
