"""Orders of nodes."""

import pytest
import torch

from kdgraph.ops import inverse_order


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_there_and_back(dtype):
    order = torch.randperm(200).to(dtype)
    places = inverse_order(order)
    assert places.dtype == torch.int32
    assert order[places].tolist() == list(range(200))
    assert torch.equal(inverse_order(places).to(dtype), order)


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ([0, 2, 2], ValueError, "holds each once, got none at 1"),
        ([0, 1, 3], ValueError, "holds 0 to 2, got 0 to 3"),
        ([0, -1, 1], ValueError, "holds 0 to 2, got -1 to 1"),
        ([[0, 1]], ValueError, r"is \[N\]"),
        ([0.0, 1.0], TypeError, "is of integers, got torch.float32"),
        ([False, True], TypeError, "is of integers, got torch.bool"),
    ],
)
def test_no_orders(order, error, message):
    with pytest.raises(error, match=message):
        inverse_order(torch.tensor(order))


def test_no_nodes():
    with pytest.raises(ValueError, match="at least 1"):
        inverse_order(torch.empty(0, dtype=torch.long))
