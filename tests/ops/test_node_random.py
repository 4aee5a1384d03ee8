"""Bytes that follow from a seed and a node: uniform, and nobody else's business."""

from __future__ import annotations

import pytest
import torch

from kdgraph.ops import node_bytes
from kdgraph.ops.reference_sampling import _mix

NODES, WIDTH = 4096, 16


def chi_square(drawn: torch.Tensor) -> float:
    """Of the 256 bytes, in deviations of its distribution from its mean."""
    count = torch.bincount(drawn.flatten().long(), minlength=256).double()
    expected = drawn.numel() / 256
    return float(
        ((count - expected).square().sum() / expected - 255) / (2 * 255) ** 0.5
    )


def test_bytes_are_uniform_and_independent() -> None:
    ids = torch.arange(NODES)
    drawn = node_bytes(ids, WIDTH, seed=3)
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (NODES, WIDTH)
    looks = {
        "bytes": drawn,
        "of the first place": drawn[:, 0],
        "of the last place": drawn[:, -1],
        "of few nodes": node_bytes(torch.arange(16), NODES, seed=3),
        "against the next place": drawn[:, 1:] ^ drawn[:, :-1],
        "against the next eight": drawn[:, 8:] ^ drawn[:, :8],
        "against the next node": drawn[1:] ^ drawn[:-1],
        "against the next seed": drawn ^ node_bytes(ids, WIDTH, seed=4),
        "against a seed far off": drawn ^ node_bytes(ids, WIDTH, seed=3 + (1 << 61)),
        "of every 256th node": node_bytes(256 * ids, WIDTH, seed=3),
        "of nodes beyond 2**32": node_bytes(ids + (1 << 33), WIDTH, seed=3),
    }
    for name, bytes_ in looks.items():
        assert abs(chi_square(bytes_)) < 5, name


def test_they_are_those_of_splitmix_in_numpy() -> None:
    """Against the finaliser that the numpy sampler has, word by word."""
    import numpy as np

    ids, seed = [0, 1, 77, 2**40], 0xFEDCBA9876543210
    drawn = node_bytes(torch.tensor(ids), 16, seed=seed)
    with np.errstate(over="ignore"):
        golden, step = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
        for row, node in zip(drawn, ids, strict=True):
            key = _mix(np.uint64(seed) + np.uint64(node + 1) * golden)
            words = [_mix(key + np.uint64(place) * step) for place in (1, 2)]
            assert row.numpy().tobytes() == np.array(words).tobytes()


def test_a_node_draws_the_same_whoever_else_is_there() -> None:
    ids = torch.randperm(1000)
    whole = node_bytes(ids, 11, seed=5)
    parts = torch.cat([node_bytes(part, 11, seed=5) for part in ids.split(7)])
    assert torch.equal(parts, whole)
    twice = node_bytes(torch.tensor([4, 9, 4]), 11, seed=5)
    assert torch.equal(twice[0], twice[2])
    assert torch.equal(twice[0], whole[ids == 4][0])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_the_type_of_the_ids_and_the_width_change_nothing(dtype: torch.dtype) -> None:
    ids = torch.arange(100)
    wide = node_bytes(ids, 24, seed=0)
    for width in (0, 1, 8, 9, 23):
        assert torch.equal(node_bytes(ids.to(dtype), width, seed=0), wide[:, :width])
    assert ids.tolist() == list(range(100))


def test_no_node_and_no_byte() -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert node_bytes(none, 3, seed=0).shape == (0, 3)
    assert node_bytes(torch.arange(3), 0, seed=0).shape == (3, 0)


def test_seeds_are_numbers_of_64_bits() -> None:
    ids = torch.arange(50)
    drawn = node_bytes(ids, 8, seed=-1)
    assert torch.equal(drawn, node_bytes(ids, 8, seed=(1 << 64) - 1))
    assert torch.equal(drawn, node_bytes(ids, 8, seed=(1 << 65) - 1))
    assert not torch.equal(drawn, node_bytes(ids, 8, seed=1))
