"""Baselines by a budget of bytes: what cannot be one is said before any search."""

import pytest
import torch

from kdgraph import baselines
from kdgraph.baselines import PositionHashEmbedding, dpq_sizes, fitting_sizes
from kdgraph.baselines.budget import largest_size

FITTED = {
    name: kind.within
    for name, kind in vars(baselines).items()
    if hasattr(kind, "within") and kind is not PositionHashEmbedding
}
FITTED |= {
    "DPQ": dpq_sizes,
    "PositionHashEmbedding": PositionHashEmbedding.branching_within,
    "hash_decoder": baselines.decoder_sizes,
    "kd_encoding": baselines.kd_encoding,
    "quantize_table": lambda *sizes: fitting_sizes("pq", *sizes),
}


def test_largest_size_is_that_of_a_walk_over_all_sizes():
    for budget in range(7, 200):
        fits = [size for size in range(1, 21) if 7 * size <= budget]
        found = largest_size(lambda n: 7 * n, budget, owner="X", what="n", most=20)
        assert found == fits[-1]


@pytest.mark.parametrize("name", sorted(FITTED))
@pytest.mark.parametrize(
    ("sizes", "error", "said"),
    [
        ((10**6, 0, 8), ValueError, "expects num_nodes of at least 1, got 0"),
        ((10**6, -3, 8), ValueError, "expects num_nodes of at least 1, got -3"),
        ((10**6, 2.5, 8), TypeError, "expects num_nodes as an integer, got 2.5"),
        ((10**6, True, 8), TypeError, "expects num_nodes as an integer, got True"),
        ((10**6, 10, 0), ValueError, "expects embedding_dim of at least 1, got 0"),
        ((10**6, 10, "8"), TypeError, "expects embedding_dim as an integer, got '8'"),
        (("1 MB", 10, 8), TypeError, "expects max_bytes as a number, got '1 MB'"),
        ((float("nan"), 10, 8), ValueError, "expects max_bytes as a number of bytes"),
        ((-1, 10, 8), ValueError, "does not fit max_bytes=-1: .* allow more"),
    ],
)
def test_what_is_no_size_is_said(name, sizes, error, said):
    with pytest.raises(error, match=f"{name} {said}"):
        FITTED[name](*sizes)


@pytest.mark.parametrize("name", sorted(FITTED))
def test_a_budget_need_not_be_whole(name):
    def of(budget):
        found = FITTED[name](budget, 1000, 8)
        if isinstance(found, torch.nn.Module):
            return found.inference_bytes()
        return found

    assert of(99_999.5) == of(99_999)
