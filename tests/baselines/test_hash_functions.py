"""Hash functions: the formula in Python's integers, its spread, and its state."""

import pytest
import torch

from kdgraph.baselines.hash_functions import HashFunctions


def buckets_of(hashes):
    """The bucket of every node by every function."""
    return [
        [
            ((a * v + b) % 2**64 >> 32) * hashes.num_buckets >> 32
            for a, b in hashes.constants.t().tolist()
        ]
        for v in range(hashes.num_nodes)
    ]


@pytest.mark.parametrize("num_buckets", [1, 7, 1000, 2**31])
def test_formula(num_buckets):
    hashes = HashFunctions(40, num_buckets, num_hashes=5)
    assert hashes(None).tolist() == buckets_of(hashes)
    ids = torch.tensor([3, 39, 3])
    assert torch.equal(hashes(ids), hashes(None)[ids])
    assert torch.equal(ids, torch.tensor([3, 39, 3]))


def test_large_ids_wrap_around():
    hashes = HashFunctions(2**40, 1000)
    a, b = hashes.constants[:, 0].tolist()
    for node in (2**32 - 1, 2**33 + 5, 2**40 - 1):
        expected = ((a * node + b) % 2**64 >> 32) * 1000 >> 32
        assert int(hashes(torch.tensor([node]))) == expected


def test_functions_are_even_and_independent():
    nodes, size = 20_000, 16
    buckets = HashFunctions(nodes, size, num_hashes=2)(None)
    pairs = torch.bincount(buckets[:, 0] * size + buckets[:, 1], minlength=size**2)
    assert pairs.size(0) == size**2
    assert (pairs * size**2 / nodes - 1).abs().max() < 0.5
    first, second = torch.randint(nodes, (2, 50_000))
    same = (buckets[first] == buckets[second])[first != second].double().mean(dim=0)
    torch.testing.assert_close(
        same, torch.full((2,), 1 / size).double(), rtol=0.3, atol=0
    )


def test_constants_use_all_bits_and_are_drawn_from_the_global_generator():
    hashes = HashFunctions(10, 4, num_hashes=500)
    assert (hashes.constants < 0).any()
    assert (hashes.constants > 0).any()
    torch.manual_seed(3)
    hashes.reset_parameters()
    first = hashes.constants.clone()
    hashes.reset_parameters()
    assert not torch.equal(first, hashes.constants)
    torch.manual_seed(3)
    assert torch.equal(HashFunctions(10, 4, num_hashes=500).constants, first)
    assert hashes.to(torch.bfloat16).constants.dtype == torch.int64


@pytest.mark.parametrize(
    ("sizes", "error", "says"),
    [
        ((0, 4, 1), ValueError, "num_nodes of at least 1"),
        ((4, 0, 1), ValueError, "num_buckets of at least 1"),
        ((4, 4, 0), ValueError, "num_hashes of at least 1"),
        ((4, 2.0, 1), TypeError, "num_buckets as an integer"),
        ((4, 2**31 + 1, 1), ValueError, r"at most 2\*\*31"),
    ],
)
def test_bad_sizes(sizes, error, says):
    with pytest.raises(error, match=says):
        HashFunctions(*sizes)
