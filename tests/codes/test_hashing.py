"""Hash codes: the formula, its spread, and what it does not depend on."""

import numpy as np
import pytest
import torch

from kdgraph.codes import hashing
from kdgraph.codes.hashing import hash_codes

SIZES = (5, 16, 1000)


def test_formula():
    factor, offset = np.random.default_rng(7).integers(
        1 << 64, size=(2, 3), dtype=np.uint64
    )
    codes = hash_codes(500, 3, SIZES, seed=7).codes().tolist()
    for node, row in enumerate(codes):
        for position, size in enumerate(SIZES):
            mixed = int(factor[position]) * node + int(offset[position])
            assert row[position] == size * ((mixed % 2**64) >> 32) >> 32


def test_codes_are_spread_and_positions_independent():
    nodes = 20_000
    codes = hash_codes(nodes, 3, (5, 16, 16), seed=1).codes()
    for position, size in enumerate((5, 16, 16)):
        counts = torch.bincount(codes[:, position], minlength=size)
        assert (counts.double() * size / nodes - 1).abs().max() < 0.2
    pairs = torch.bincount(codes[:, 1] * 16 + codes[:, 2], minlength=256)
    assert (pairs.double() * 256 / nodes - 1).abs().max() < 0.5
    first, second = torch.randint(nodes, (2, 50_000))
    other = first != second
    same = (codes[first] == codes[second])[other].double().mean(dim=0)
    assert torch.allclose(
        same, torch.tensor([1 / 5, 1 / 16, 1 / 16]).double(), rtol=0.2
    )


def test_a_code_depends_on_id_and_seed_alone(monkeypatch):
    whole = hash_codes(1000, 3, SIZES, seed=2)
    assert torch.equal(hash_codes(30, 3, SIZES, seed=2).packed, whole.packed[:30])
    monkeypatch.setattr(hashing, "CHUNK_ROWS", 7)
    assert torch.equal(hash_codes(1000, 3, SIZES, seed=2).packed, whole.packed)
    assert not torch.equal(hash_codes(1000, 3, SIZES, seed=3).packed, whole.packed)


@pytest.mark.parametrize(
    ("nodes", "size", "error", "says"),
    [
        (0, 4, ValueError, "got num_nodes=0"),
        (2**32 + 1, 4, ValueError, r"2\*\*32 nodes"),
        (3.0, 4, TypeError, "integer num_nodes"),
        (True, 4, TypeError, "integer num_nodes"),
        (3, 1, ValueError, "codebook sizes"),
    ],
)
def test_bad_input(nodes, size, error, says):
    with pytest.raises(error, match=says):
        hash_codes(nodes, 2, size)
