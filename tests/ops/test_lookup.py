"""Lookups against a loop over nodes and positions."""

import pytest
import torch

from kdgraph.ops import Codebooks, lookup, lookup_sum, pad_positions, position_offsets

SIZES = (3, 2, 5)


@pytest.fixture(params=["own", "shared"])
def books(request):
    shared = request.param == "shared"
    rows = max(SIZES) if shared else sum(SIZES)
    weight = torch.randn(rows, 4, dtype=torch.float64, requires_grad=True)
    offsets = [0] * 3 if shared else position_offsets(SIZES)
    return Codebooks(weight, torch.tensor(offsets), SIZES)


@pytest.fixture
def codes():
    return torch.stack([torch.randint(size, (11,)) for size in SIZES], dim=1)


def test_lookup(books, codes):
    rows = (codes + books.offsets).tolist()
    expected = [[books.weight[index] for index in row] for row in rows]
    found = lookup(codes, books.weight, books.offsets)
    assert torch.equal(found, torch.stack([torch.stack(row) for row in expected]))


@pytest.mark.parametrize("weighted", [False, True])
def test_lookup_sum(books, codes, weighted):
    scale = torch.rand(11, 3, dtype=torch.float64) if weighted else None
    vectors = lookup(codes, books.weight, books.offsets)
    if weighted:
        vectors = vectors * scale.unsqueeze(-1)
    found = lookup_sum(codes, books.weight, books.offsets, scale)
    torch.testing.assert_close(found, vectors.sum(dim=1))


def test_gradients(books, codes):
    def gathered(weight):
        return lookup(codes, weight, books.offsets)

    def summed(weight):
        return lookup_sum(codes, weight, books.offsets)

    assert torch.autograd.gradcheck(gathered, books.weight)
    assert torch.autograd.gradcheck(summed, books.weight)


def test_no_rows(books):
    none = torch.empty(0, 3, dtype=torch.long)
    assert lookup(none, books.weight, books.offsets).shape == (0, 3, 4)
    assert lookup_sum(none, books.weight, books.offsets).shape == (0, 4)
    lookup(none, books.weight, books.offsets).sum().backward()
    assert not books.weight.grad.any()


def test_padded(books):
    padded = books.padded()
    assert padded.shape == (3, 5, 4)
    for position, size in enumerate(SIZES):
        first = int(books.offsets[position])
        assert torch.equal(padded[position, :size], books.weight[first : first + size])
        if not books.shared:
            assert not padded[position, size:].any()


def test_shared_is_told_by_the_rows():
    one = Codebooks(torch.zeros(4, 1), torch.zeros(1, dtype=torch.long), (4,))
    assert not one.shared
    two = Codebooks(torch.zeros(4, 1), torch.zeros(2, dtype=torch.long), (4, 4))
    assert two.shared


def test_pad_positions_of_one_size_is_a_view():
    flat = torch.arange(12.0).view(2, 6)
    padded = pad_positions(flat, (3, 3), float("-inf"))
    assert padded.data_ptr() == flat.data_ptr()
    assert torch.equal(padded, flat.view(2, 2, 3))
