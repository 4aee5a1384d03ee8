"""Patterns and weights of graphs against dense matrices."""

import pytest
import torch

from kdgraph.ops import Codebooks, Csr, Pattern, Selection, lookup_sum
from kdgraph.ops.dropped import with_zero_codewords

SIZE = 5, 4
SOURCE = torch.tensor([3, 0, 0, 4, 1, 3, 3])
TARGET = torch.tensor([2, 0, 0, 2, 0, 1, 2])


def matrix(weight):
    dense = torch.zeros(SIZE[1], SIZE[0])
    return dense.index_put((TARGET, SOURCE), weight, accumulate=True)


def test_sums_and_their_gradients():
    weight = torch.rand(7, requires_grad=True)
    pattern = Pattern.of_edges(SOURCE, TARGET, SIZE)
    x = torch.rand(5, 3, requires_grad=True)
    csr = Csr(pattern, weight[pattern.order])
    expected = matrix(weight)
    torch.testing.assert_close(csr.sum(x), expected @ x)
    torch.testing.assert_close(csr.row_sum(torch.float32), expected.sum(dim=1))
    slope, row_sum = torch.rand(4, 3), expected.sum(dim=1, keepdim=True)
    for ours, theirs in (
        (csr.sum(x), expected @ x),
        (
            csr.row_sum(torch.float32).unsqueeze(1) * slope,
            row_sum * slope,
        ),
    ):
        found, wanted = (
            torch.autograd.grad(
                (y * slope).sum(), (weight, x), allow_unused=True, retain_graph=True
            )
            for y in (ours, theirs)
        )
        torch.testing.assert_close(found, wanted)
    frozen = Csr(pattern, weight.detach()[pattern.order])
    (by_x,) = torch.autograd.grad((frozen.sum(x) * slope).sum(), x)
    torch.testing.assert_close(by_x, expected.detach().t() @ slope)


def test_transposed():
    pattern = Pattern.of_edges(SOURCE, TARGET, SIZE)
    weight = torch.rand(7)
    rowptr, col, values = Csr(pattern, weight[pattern.order]).transposed()
    back = Csr(Pattern(rowptr, col, SIZE[1]), values)
    torch.testing.assert_close(back.sum(torch.eye(4)), matrix(weight).t())


def test_a_symmetric_graph_is_its_own_transpose():
    source, target = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([1, 0, 2, 1, 2])
    pattern = Pattern.of_edges(source, target, (3, 3))
    rowptr, col, _ = pattern.transposed
    assert col is pattern.col
    assert rowptr is pattern.rowptr
    for weight in (torch.ones(5), torch.arange(5.0)):
        csr = Csr(pattern, weight)
        dense = csr.sum(torch.eye(3))
        back = Csr(Pattern(*csr.transposed()[:2], 3), csr.transposed()[2])
        torch.testing.assert_close(back.sum(torch.eye(3)), dense.t())
        shared = csr.transposed()[2].data_ptr() == weight.data_ptr()
        assert shared == bool((weight == 1).all())


def test_ends_out_of_range():
    with pytest.raises(IndexError, match=r"sources in \[0, 3\)"):
        Pattern.of_edges(SOURCE, TARGET, (3, 4))
    with pytest.raises(IndexError, match=r"targets in \[0, 2\)"):
        Pattern.of_edges(SOURCE, TARGET, (5, 2))
    empty = torch.empty(0, dtype=torch.long)
    assert Pattern.of_edges(empty, empty, (2, 3)).rowptr.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shared", [True, False])
def test_dropped_positions_read_zeros(shared):
    sizes, offsets = (2, 3), torch.tensor([0, 0] if shared else [0, 2])
    books = Codebooks(torch.rand(3 if shared else 5, 4), offsets, sizes)
    selection = Selection(torch.tensor([[1, 2], [0, 1], [1, 0]])).drop(0.5)
    codes, longer = selection.readable(books)
    assert longer.shared == shared
    found = lookup_sum(codes.long(), longer.weight, longer.offsets)
    torch.testing.assert_close(found, selection.sum(books))
    assert (with_zero_codewords(books, 2.0).weight == 0).all(dim=1).any()
