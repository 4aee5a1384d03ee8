"""Bytes of results from before maps were counted, counted anew."""

from __future__ import annotations

import copy

import pytest

from benchmarks.harness.recount import over_budget, recount

BASE = {
    "num_nodes": 3000,
    "full_bytes": 4 * 3000 * 64,
    "inference_bytes": 3310,
    "compression_ratio": 232.0,
}


@pytest.mark.parametrize(
    ("method", "codes", "more"),
    [
        # 3,000 nodes of 12 bits.
        ("kd", "place:15x15x15", 4500),
        ("kd", "order:4x4+spectral:2x8", 4500),
        ("kd", "tree:4x4+spectral:2x8", 0),
        ("kd", None, 0),
        ("kd", "codes.npy", 0),
        ("tensor-train-metis", None, 4500),
        ("tensor-train", None, 0),
        ("full", None, 0),
    ],
)
def test_the_map_follows_from_the_configuration(
    method: str, codes: str | None, more: int
) -> None:
    result = BASE | {"config": {"method": method, "codes": codes}}
    before = copy.deepcopy(result)
    found = recount(result)
    assert result == before
    assert found["inference_bytes"] == 3310 + more
    assert found["inference_bytes_in_order"] == 3310
    assert recount(found) == found
    # On a graph of 3,000 nodes the 232x that was printed was 98x with it.
    ratio = 768_000 / (3310 + more) if more else 232.0
    assert found["compression_ratio"] == pytest.approx(ratio)
    assert over_budget(found, {"compression": 200}) is (more > 0)
    assert not over_budget(found, {"compression": 90})
    assert not over_budget(found, {})


def test_what_was_tried_is_counted_too() -> None:
    tried = [
        {"codes": "place:15x15x15 of rank 4", "bytes": 100, "valid_score": 0.5},
        {"codes": "tree:4x4", "bytes": 200, "valid_score": 0.5},
        {"codes": "coder softmax", "bytes": 300, "valid_score": 0.5},
    ]
    config = {"method": "kd", "codes": "place:15x15x15"}
    found = recount(BASE | {"config": config, "auto": {"tried": tried}})
    assert [one["bytes"] for one in found["auto"]["tried"]] == [4600, 200, 300]


def test_results_that_count_it_or_have_no_nodes_stay() -> None:
    new = BASE | {"inference_bytes_in_order": 10, "config": {"method": "kd"}}
    assert recount(new) is new
    words = {"inference_bytes": 10, "config": {"method": "kd", "codes": "random"}}
    assert recount(words) is words
