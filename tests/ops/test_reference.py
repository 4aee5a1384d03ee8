"""Plain torch: results that do not depend on how edges and channels are cut."""

import pytest
import torch

from kdgraph.ops import coded_spmm, reference
from kdgraph.ops.blocks import blocks
from kdgraph.ops.edges import Edges
from tests.ops.problems import Case, check_sum, dense, make_problem, matrix

CASES = [
    Case((256,) * 4, 8, "uint8", "concat", index=torch.int32),
    Case((5, 2, 31, 300, 9), 3, "packed", "concat", reduce="mean"),
    Case((16,) * 8, 24, "packed", "sum", reduce="mean"),
    Case((7,) * 9, 5, "packed", "sum", shared=True, weighted=False),
]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("KDGRAPH_BACKEND", "reference")


def limit(monkeypatch, size):
    """Blocks of few bytes, and few channels of all nodes."""

    def cut(edges, nodes, edge_bytes, target_bytes, _limit=0):
        return blocks(edges, nodes, edge_bytes, target_bytes, size)

    monkeypatch.setattr(reference, "blocks", cut)
    monkeypatch.setattr(reference, "TABLE_BYTES", size)
    monkeypatch.setattr(reference, "_FEWEST_CHANNELS", 1)


def results(case, problem):
    books = problem.books
    weight = books.weight.detach().clone().requires_grad_()
    edges = problem.weight
    if edges is not None:
        edges = edges.clone().requires_grad_()
    sums = coded_spmm(
        problem.rowptr,
        problem.col,
        edges,
        problem.codes,
        books._replace(weight=weight),
        case.reduce,
        compose=case.compose,
    )
    torch.manual_seed(1)
    sums.backward(torch.randn(sums.shape))
    return sums.detach(), weight.grad, None if edges is None else edges.grad


@pytest.mark.parametrize("nodes_first", [False, True])
@pytest.mark.parametrize("size", [4000, 20_000])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cuts(case, size, nodes_first, monkeypatch):
    problem = make_problem(case)
    monkeypatch.setattr(reference, "_nodes_first", lambda *_: nodes_first)
    want = results(case, problem)
    limit(monkeypatch, size)
    found = results(case, problem)
    vectors = dense(problem, case.compose)
    absolute = dense(problem, case.compose, absolute=True)
    left = matrix(problem, case.reduce, vectors.size(0))
    check_sum(found[0], left, vectors, absolute)
    for one, other in zip(found[1:], want[1:], strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_blocks_hold_every_edge_once_and_few_targets():
    degrees = torch.tensor([0, 3, 0, 0, 100, 1, 0, 2, 0, 0])
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    edges = Edges(rowptr, torch.arange(106))
    found = list(blocks(edges, torch.zeros(106, 1), 8, 16, 64))
    assert [edge for one in found for edge in range(one.span.start, one.span.stop)] == [
        *range(106)
    ]
    for one in found:
        assert one.span.stop - one.span.start <= 8
        assert one.targets.stop - one.targets.start <= 4
        target = torch.repeat_interleave(torch.arange(10), degrees)[one.span]
        assert torch.equal(one.target + one.targets.start, target)


def test_equal_terms_do_not_drift():
    # A million times a third, which float32 adds up to 0.4 % too much, one by one.
    codes, books = torch.zeros(1, 1, dtype=torch.uint8), torch.full((1, 1, 1), 1 / 3)
    rowptr, col = torch.tensor([0, 1 << 20]), torch.zeros(1 << 20, dtype=torch.int64)
    found = coded_spmm(rowptr, col, None, codes, books)
    assert abs(float(found) / ((1 << 20) / 3) - 1) < 1e-5
