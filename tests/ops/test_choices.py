"""Choices in the compiled core against plain torch: the same codes, near gradients."""

import pytest
import torch

from kdgraph.ops import choices, lookup, query_logits
from kdgraph.ops.lookup import _added, lookup_gradient
from tests.ops.conftest import NATIVE

pytestmark = pytest.mark.skipif(not NATIVE, reason="the core was not built")

SHAPES = [
    # rows, positions, choices, terms, width, summed
    (37, 5, 7, 3, 4, False),
    (300, 4, 256, 8, 16, True),
    (1, 1, 2, 1, 1, True),
    (0, 3, 4, 2, 2, False),
    (513, 3, 40, 16, 7, True),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_core_agrees_with_torch(shape):
    rows, positions, size, terms, width, summed = shape
    torch.manual_seed(0)
    query = torch.randn(rows, positions, terms)
    keys, bias = torch.randn(positions, size, terms), torch.randn(positions, size)
    if size > 3:
        bias[:, -1] = float("-inf")
    codes = choices.nearest_query_codes(query, keys, bias)
    assert torch.equal(codes, query_logits(query, keys, bias).argmax(dim=-1))
    books = torch.randn(positions, size, width)
    grad = torch.randn((rows, width) if summed else (rows, positions, width))
    scale = torch.rand(rows, positions) if summed else None
    given = (query, keys, bias, torch.tensor(0.7), books, grad, scale)
    with torch.no_grad():
        found = choices.soft_choice_gradient(*given)
    exact = choices.soft_choice_gradient(
        *(x if x is None else x.double() for x in given)
    )
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_ties_go_to_the_first_choice():
    query, keys = torch.randn(40, 2, 3), torch.randn(2, 1, 3).expand(-1, 5, -1)
    assert not choices.nearest_query_codes(query, keys, torch.zeros(2, 5)).any()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("kind", ["apart", "summed", "scaled"])
def test_gradients_of_lookups(threads, width, kind, request):
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    index = torch.randint(50, (40_000, 3))
    shape = (40_000, 3, width) if kind == "apart" else (40_000, width)
    grad, scale = torch.randn(shape), None
    if kind == "scaled":
        scale = torch.rand(40_000, 3)
    with torch.no_grad():
        found = lookup_gradient(index, grad, scale, 51)
        double = None if scale is None else scale.double()
        exact = _added(index, grad.double(), double, 51)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-3)
    assert not found[50].any()


@pytest.mark.parametrize("width", [1, 2, 4, 5, 8])
def test_lookups_without_a_gradient(width):
    books, offsets = torch.randn(12, width), torch.tensor([0, 4, 0])
    codes = torch.randint(4, (50, 3))
    assert torch.equal(lookup(codes, books, offsets), books[codes + offsets])
    assert lookup(codes[:0], books, offsets).shape == (0, 3, width)
    for wrong in (-1, 12):
        codes[7, 0] = wrong
        with pytest.raises(IndexError):
            lookup(codes, books, offsets)
