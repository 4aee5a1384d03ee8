"""ROBE: every number by its hash, the circle, gradients, bytes."""

import pytest
import torch

from kdgraph.baselines import FullEmbedding, ROBEEmbedding


def place_of(encoder, node, column):
    """Where in the array a number lies, in Python's integers."""
    block, step = divmod(column, encoder.block_size)
    a, b = encoder.hashes.constants[:, block].tolist()
    start = ((a * node + b) % 2**64 >> 32) * encoder.size >> 32
    return (start + step) % encoder.size


@pytest.mark.parametrize(
    ("size", "block_size"), [(40, 1), (40, 3), (3, 3), (11, 5), (11, 10), (10, 32)]
)
def test_numbers_and_gradients_are_those_of_the_formula(size, block_size):
    encoder = ROBEEmbedding(30, 10, size, block_size=block_size).double()
    places = torch.tensor(
        [
            [place_of(encoder, node, column) for column in range(10)]
            for node in range(30)
        ]
    )
    assert torch.equal(encoder(), encoder.weight[places])
    ids, upstream = torch.tensor([29, 3, 29]), torch.randn(3, 10).double()
    (encoder(ids) * upstream).sum().backward()
    expected = torch.zeros(size).double()
    for row, node in enumerate(ids.tolist()):
        for column in range(10):
            expected[places[node, column]] += upstream[row, column]
    torch.testing.assert_close(encoder.weight.grad, expected)


def test_blocks_cross_the_end_of_the_array():
    encoder = ROBEEmbedding(30, 10, 11, block_size=5)
    starts = encoder.hashes(None)
    assert (starts > 11 - 5).any()
    node = int((starts[:, 0] > 11 - 5).nonzero()[0])
    start = int(starts[node, 0])
    wrapped = torch.cat([encoder.weight[start:], encoder.weight])[:5]
    assert torch.equal(encoder(torch.tensor(node))[:5], wrapped)


def test_a_collision_in_one_block_is_none_in_the_other():
    encoder = ROBEEmbedding(400, 8, 40, block_size=4)
    first, second = encoder.hashes(None).t()
    same = first[:, None] == first[None, :]
    also = (second[:, None] == second[None, :])[
        same & ~torch.eye(400, dtype=torch.bool)
    ]
    assert also.double().mean() < 0.1


def test_the_array_starts_with_the_variance_of_a_full_table():
    robe, full = ROBEEmbedding(4000, 64, 30_000), FullEmbedding(4000, 64)
    ratio = float(robe().detach().var() / full().detach().var())
    assert 0.9 < ratio < 1.1


def test_bytes_by_hand_and_the_longest_that_fits():
    # Ten columns are three blocks of four.
    encoder = ROBEEmbedding(30, 10, 25, block_size=4)
    assert encoder.inference_bytes() == 4 * 25 + 16 * 3 == 148
    assert encoder.training_bytes("adam") == 16 * 25 + 16 * 3
    assert ROBEEmbedding.within(148, 30, 10, block_size=4).size == 25
    assert ROBEEmbedding.within(147, 30, 10, block_size=4).size == 24
    assert ROBEEmbedding.within(64, 30, 10, block_size=4).size == 4
    assert ROBEEmbedding.within(56, 30, 10).size == 10
    assert ROBEEmbedding.within(10**6, 30, 10).size == 300
    assert ROBEEmbedding.within(10**6, 1, 10, block_size=1).size == 10


def test_within_without_memory():
    with torch.device("meta"):
        large = ROBEEmbedding.within(10**9, 10**8, 128)
        huge = ROBEEmbedding.within(10**11, 10**9, 128)
    assert 10**9 - 4 < large.inference_bytes() <= 10**9
    assert huge.size == 2**31 - 33


def test_bad_sizes():
    with pytest.raises(ValueError, match="from 4, a block, to .*, got 3"):
        ROBEEmbedding(30, 10, 3, block_size=4)
    with pytest.raises(ValueError, match="got 2147483647"):
        ROBEEmbedding(30, 10, 2**31 - 1)
    with pytest.raises(ValueError, match="block_size of at least 1"):
        ROBEEmbedding(30, 10, 25, block_size=0)
    with pytest.raises(ValueError, match="block_size of at least 1"):
        ROBEEmbedding.within(1000, 30, 10, block_size=0)
    with pytest.raises(TypeError, match="size as an integer"):
        ROBEEmbedding(30, 10, 25.0)
    with pytest.raises(
        ValueError, match="a block of 4 as size 1 takes 64 bytes; allow"
    ):
        ROBEEmbedding.within(63, 30, 10, block_size=4)
