"""Position hashes: the formula, whose buckets a node may have, and the bytes."""

import pytest
import torch

from kdgraph.baselines import PositionHashEmbedding
from kdgraph.codes import CodeTable

LEAVES = torch.tensor([0, 5, 2, 2, 1, 4, 3, 0, 5])
DIGITS = CodeTable.from_codes(torch.stack([LEAVES // 2, LEAVES % 2], 1), (3, 2))


def buckets_of(encoder):
    """The bucket of every node and hash, in Python's integers."""
    found = []
    share = encoder.num_buckets // encoder.groups
    for node in range(encoder.num_nodes):
        own = []
        for factor, offset in encoder.hashes.constants.t().tolist():
            high = ((factor * node + offset) % 2**64) >> 32
            first = int(LEAVES[node]) // 2 if encoder.groups > 1 else 0
            own.append(first * share + (high * share >> 32))
        found.append(own)
    return found


@pytest.mark.parametrize("intra", [True, False])
def test_vectors_are_positions_and_weighted_buckets(intra):
    encoder = PositionHashEmbedding(
        9, 5, DIGITS, num_buckets=7, num_hashes=3, intra=intra
    )
    with torch.no_grad():
        encoder.importance.normal_()
    for node, own in enumerate(buckets_of(encoder)):
        leaf = int(LEAVES[node])
        expected = encoder.positions[leaf // 2] + encoder.positions[3 + leaf]
        for number, bucket in enumerate(own):
            weight = encoder.importance[node, number]
            expected = expected + weight * encoder.buckets[bucket]
        torch.testing.assert_close(encoder(torch.tensor(node)), expected)


def test_positions_alone_are_the_same_for_nodes_of_a_leaf():
    x = PositionHashEmbedding(9, 5, DIGITS)()
    assert torch.equal(x[0], x[7])
    assert not torch.equal(x[0], x[1])


def test_clusters_of_the_first_level_share_no_bucket():
    encoder = PositionHashEmbedding(9, 5, DIGITS, num_buckets=12)
    own = torch.tensor(buckets_of(encoder))
    assert torch.equal(own // 4, (LEAVES // 2)[:, None].expand(-1, 2))


def test_hashes_are_spread_evenly():
    nodes, buckets = 20_000, 10
    flat = CodeTable.from_codes(torch.zeros(nodes, 1, dtype=torch.long), 2)
    encoder = PositionHashEmbedding(nodes, 1, flat, num_buckets=buckets, intra=False)
    first = torch.zeros(nodes, dtype=torch.long)
    counts = torch.bincount(encoder._hash(None, first)[:, 0], minlength=buckets)
    assert counts.size(0) == buckets
    assert (counts - nodes / buckets).abs().max() < 0.2 * nodes / buckets


def test_bytes_by_hand():
    # 2 + 1 bits are a byte; 9 rows of 4 floats.
    alone = PositionHashEmbedding(9, 4, DIGITS)
    assert alone.inference_bytes() == 9 + 4 * 9 * 4
    assert alone.training_bytes() == 9 + 16 * 9 * 4
    # Beside them 6 buckets, two weights a node, and two hashes of two integers.
    hashed = PositionHashEmbedding(9, 4, DIGITS, num_buckets=6)
    assert hashed.inference_bytes() == 9 + 4 * 9 * 4 + 4 * 6 * 4 + 4 * 18 + 32


def test_within_is_the_largest_that_fits():
    exact = PositionHashEmbedding(9, 4, DIGITS, num_buckets=6).inference_bytes()
    assert PositionHashEmbedding.within(exact, 9, 4, DIGITS).num_buckets == 6
    assert PositionHashEmbedding.within(exact - 1, 9, 4, DIGITS).num_buckets == 5
    with pytest.raises(ValueError, match="3 clusters need one each; allow more"):
        PositionHashEmbedding.within(exact - 64, 9, 4, DIGITS)


def test_branching_is_the_widest_that_fits():
    find = PositionHashEmbedding.branching_within
    # Three clusters, nine, and 27: 39 rows of 8 floats, and 3 times 2 bits a node.
    exact = 4 * 8 * 39 + 1000
    assert find(exact, 1000, 8) == (3, 3, 3)
    assert find(exact - 1, 1000, 8) == (2, 2, 2)
    # Where three levels do not fit, two do: 2 + 4 rows, a byte a node.
    assert find(4 * 8 * 6 + 1000, 1000, 8) == (2, 2)
    with pytest.raises(ValueError, match=r"two clusters\s+take 1064 bytes"):
        find(1000, 1000, 8)


@pytest.mark.parametrize(
    ("digits", "options", "error", "message"),
    [
        (LEAVES, {}, TypeError, "digits as a CodeTable, got Tensor"),
        (DIGITS, {"num_buckets": 2}, ValueError, "a bucket for each of 3 clusters"),
        (DIGITS, {"num_buckets": -4}, ValueError, "num_buckets of at least 1"),
        (DIGITS, {"num_hashes": 0}, ValueError, "num_hashes of at least 1"),
    ],
)
def test_bad_input(digits, options, error, message):
    with pytest.raises(error, match=message):
        PositionHashEmbedding(9, 4, digits, **options)
    with pytest.raises(ValueError, match="digits of 10 nodes, all stored, got 9"):
        PositionHashEmbedding(10, 4, DIGITS)
