"""The plan's bytes against encoders that are built, and against formulas."""

from __future__ import annotations

import math

import pytest

from kdgraph.training import plan
from kdgraph.training.methods import build_encoder, build_guidance
from kdgraph.training.plan import graph_bytes

SIZES = [
    (1, 1, 1, 2, 1, 1),
    (7, 15, 3, 5, 2, 4),
    (100, 96, 32, 3, 1, 8),
    (333, 64, 16, 256, 4, 1),
    (50, 30, 2, 65536, 1, 30),
    (61, 12, 3, (3, 5, 7), 2, 2),
]


@pytest.mark.parametrize(("n", "c", "d", "k", "r", "rank"), SIZES)
def test_bytes_are_those_of_the_encoders(
    n: int, c: int, d: int, k: int | tuple[int, ...], r: int, rank: int
) -> None:
    rows = plan(n, c, num_codebooks=d, codebook_size=k, query_dim=r, rank=rank)
    assert len({row.method for row in rows}) == len(rows) == 9
    for row in rows:
        if row.config.method == "labelprop":
            assert (row.inference_bytes, row.training_bytes) == (0, 0)
            continue
        encoder = build_encoder(row.config, n)
        teacher = build_encoder(rows[0].config, n)
        guides = build_guidance(row.config, encoder, teacher)
        training = encoder.training_bytes("adam")
        training += sum(guide.training_bytes("adam") for guide in guides)
        if row.config.guidance == "pretrained":
            training = max(training, teacher.training_bytes("adam"))
        assert row.inference_bytes == encoder.inference_bytes(), row.method
        assert row.training_bytes == training, row.method


def test_bytes_by_formula() -> None:
    n, c, d, k = 1000, 128, 16, 32
    rows = plan(n, c, num_codebooks=d, codebook_size=k, query_dim=2, rank=3)
    full, low, _, fixed, query, free, vq, online, _ = rows
    assert (full.inference_bytes, full.training_bytes) == (4 * n * c, 16 * n * c)
    assert low.inference_bytes == 4 * 3 * (n + c)
    stored = n * math.ceil(d * 5 / 8) + 4 * k * c
    for row in (fixed, query, free, vq, online):
        assert row.inference_bytes == stored
    # Beside the formula of the documentation: keys, and buffers that all nodes share.
    shared = 16 * d * k * 2 + 8 * d + 4 * d * k + 4
    assert query.training_bytes == 16 * n * d * 2 + 16 * k * c + shared
    assert free.training_bytes == 16 * n * d * k + 16 * k * c + shared - 16 * d * k * 2
    assert online.training_bytes == query.training_bytes + 16 * n * c


def test_nothing_is_allocated() -> None:
    rows = plan(111_059_956, 128, num_codebooks=32, codebook_size=256)
    assert rows[0].training_bytes == 16 * 111_059_956 * 128


@pytest.mark.parametrize(
    ("n", "c", "d", "k", "part"),
    [
        (0, 8, 4, 2, "num_nodes is at least 1"),
        (9, 100, 64, 2, "num_codebooks=64 does not divide dim=100.*take 50 or 100"),
        (9, 8, 4, (2, 2), "one entry per position"),
        (9, 8, 4, 1, "2, 65536"),
        (2**70, 8, 4, 2, "64 bits"),
        (2**61, 8, 4, 2, "64 bits"),
    ],
)
def test_sizes_that_do_not_fit(
    n: int, c: int, d: int, k: int | tuple[int, ...], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        plan(n, c, num_codebooks=d, codebook_size=k)


def test_bytes_of_the_graph() -> None:
    assert graph_bytes(5, 10) == 20 * 4 + 20 * 4 + 6 * 4
    assert graph_bytes(5, 2**31) == 2**32 * (8 + 4) + 6 * 8
