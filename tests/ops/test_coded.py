"""coded_gather and coded_spmm against dense products in float64."""

import time

import pytest
import torch
from scipy.sparse import csr_array
from torch.library import opcheck

from kdgraph.codes import CodeTable, Prefix
from kdgraph.ops import (
    Codebooks,
    PackedCodes,
    coded_gather,
    coded_spmm,
    neighbor_sum,
    pack,
)
from tests.ops.problems import CASES, Case, check_sum, dense, make_problem, matrix

PLAIN = Case((5,) * 4, 3, "uint8", "concat")


def run_spmm(problem, case, **changes):
    given = problem._replace(**changes)
    return coded_spmm(
        given.rowptr,
        given.col,
        given.weight,
        given.codes,
        given.books,
        case.reduce,
        compose=case.compose,
    )


def transpose(problem):
    """The graph the other way round, as ``neighbor_sum`` takes it."""
    back = csr_array(matrix(problem, "sum", 60)[0].detach().float().t().numpy())
    return tuple(map(torch.from_numpy, (back.indptr, back.indices, back.data)))


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestCases:
    def test_sums_and_gradients(self, case):
        problem = make_problem(case)
        vectors = dense(problem, case.compose)
        adjacency = matrix(problem, case.reduce, vectors.size(0))
        books = problem.books._replace(weight=problem.books.weight.requires_grad_())
        weight = problem.weight
        if weight is not None:
            weight.requires_grad_()
        sums = run_spmm(problem, case, books=books)
        assert sums.dtype == case.dtype
        bound = dense(problem, case.compose, absolute=True)
        check_sum(sums.detach(), adjacency, vectors, bound)
        grad = torch.randn_like(sums)
        sums.backward(grad)
        # The gradient by the vectors is A^T g; each is added to the codewords it is of.
        onehot = torch.zeros(
            len(case.sizes), vectors.size(0), books.weight.size(0), dtype=torch.float64
        )
        onehot.scatter_(2, problem.rows.t().unsqueeze(-1), 1.0)
        parts = grad.double().split(
            case.width if case.compose == "concat" else grad.size(1), dim=1
        )
        parts = parts * (len(case.sizes) // len(parts))
        left = [
            torch.cat([mark.t() @ one.t() for mark in onehot], dim=1)
            for one in adjacency
        ]
        check_sum(books.weight.grad, tuple(left), torch.cat(parts))
        if weight is not None:
            rows = problem.rowptr.long().diff()
            target = torch.repeat_interleave(torch.arange(rows.numel()), rows)
            share = 1.0 / rows[target] if case.reduce == "mean" else 1.0
            source = problem.col.long()
            want = (grad.double()[target] * vectors[source]).sum(dim=1) * share
            scale = (grad.double()[target].abs() * bound[source]).sum(dim=1) * share
            assert bool(((weight.grad - want).abs() <= 1e-5 * scale).all())

    def test_gather(self, case):
        problem = make_problem(case)
        vectors = dense(problem, case.compose).to(case.dtype)
        books = problem.books._replace(weight=problem.books.weight.requires_grad_())
        ids = torch.tensor([59, 0, 3, 3, 3], dtype=case.index)
        for n_id in (None, ids, ids[:0]):
            found = coded_gather(problem.codes, books, n_id, compose=case.compose)
            want = vectors if n_id is None else vectors[n_id.long()]
            close = {"rtol": 1e-5, "atol": 1e-5}
            if case.dtype != torch.float32:
                close = {"rtol": 2e-2, "atol": 2e-2}
            torch.testing.assert_close(found.detach(), want, **close)
        found = coded_gather(problem.codes, books, ids, compose=case.compose)
        grad = torch.randint(-4, 5, found.shape).to(case.dtype)
        found.backward(grad)
        want = torch.zeros_like(books.weight, dtype=torch.float64)
        for row, node in zip(grad.double(), ids.tolist(), strict=True):
            parts = row.view(-1, case.width).expand(len(case.sizes), -1)
            want.index_add_(0, problem.rows[node], parts)
        assert torch.equal(books.weight.grad, want.to(case.dtype))


@pytest.mark.parametrize("case", CASES[:8], ids=lambda case: case.name)
def test_instruction_sets_agree(case, isa, monkeypatch):
    monkeypatch.setenv("KDGRAPH_BACKEND", "native")
    problem = make_problem(case, seed=1)
    vectors = dense(problem, case.compose)
    sums = run_spmm(problem, case)
    adjacency = matrix(problem, case.reduce, vectors.size(0))
    check_sum(sums, adjacency, vectors, dense(problem, case.compose, absolute=True))
    x = vectors.float()
    found = neighbor_sum(problem.rowptr, problem.col, problem.weight, x)
    check_sum(found, matrix(problem, "sum", x.size(0)), vectors)


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[6]], ids=lambda c: c.name)
def test_threads_change_nothing(case, backend_name):
    # Twice the edges of a task, so that there are several.
    problem = make_problem(case)
    books = problem.books._replace(weight=problem.books.weight.requires_grad_())
    reach = torch.arange(0, 200_000, 100, dtype=case.index)
    col = torch.randint(60, (int(reach[-1]),), dtype=case.index)
    given = {"rowptr": reach, "col": col, "weight": torch.randn(col.numel())}
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            books.weight.grad = None
            weight = given["weight"].clone().requires_grad_()
            sums = run_spmm(problem, case, books=books, **given | {"weight": weight})
            sums.square().sum().backward()
            found.append((sums.detach(), books.weight.grad, weight.grad))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert torch.equal(one, same)


@pytest.mark.usefixtures("backend_name")
class TestEdgeCases:
    def test_no_edges(self):
        problem = make_problem(PLAIN)
        empty = torch.zeros(0, dtype=torch.int64)
        books = problem.books._replace(weight=problem.books.weight.requires_grad_())
        for reduce in ("sum", "mean"):
            case = PLAIN._replace(reduce=reduce)
            pointers = torch.zeros(5, dtype=torch.int64)
            sums = run_spmm(
                problem, case, rowptr=pointers, col=empty, weight=None, books=books
            )
            assert torch.equal(sums, torch.zeros(4, 12))
            sums.sum().backward()
            assert not books.weight.grad.any()

    def test_no_targets_and_no_nodes(self):
        problem = make_problem(PLAIN)
        empty = torch.zeros(0, dtype=torch.int64)
        none = {"rowptr": torch.zeros(1, dtype=torch.int64), "col": empty}
        assert run_spmm(problem, PLAIN, weight=None, **none).shape == (0, 12)
        codes = problem.codes[:0]
        sums = run_spmm(problem, PLAIN, weight=None, codes=codes, **none)
        assert sums.shape == (0, 12)
        assert coded_gather(codes, problem.books).shape == (0, 12)

    def test_a_node_that_hears_itself(self):
        codes = torch.tensor([[1], [0]], dtype=torch.uint8)
        books = torch.tensor([[[2.0], [3.0]]])
        rowptr, col = torch.tensor([0, 2, 2]), torch.tensor([0, 0])
        assert coded_spmm(rowptr, col, None, codes, books).tolist() == [[6.0], [0.0]]
        mean = coded_spmm(rowptr, col, None, codes, books, "mean")
        assert mean.tolist() == [[3.0], [0.0]]

    def test_a_code_table(self):
        codes = torch.randint(7, (9, 3))
        table = CodeTable.from_codes(codes, 7)
        books = torch.randn(3, 7, 2)
        assert torch.equal(coded_gather(table, books), coded_gather(codes, books))

    def test_int8_codebooks_with_a_scale(self):
        codes = torch.randint(4, (9, 2))
        weight = torch.randint(-127, 128, (8, 3), dtype=torch.int8)
        scale = torch.tensor([0.5, 2.0])
        books = Codebooks(weight, torch.tensor([0, 4]), (4, 4), scale)
        by_hand = weight.float().view(2, 4, 3) * scale.view(2, 1, 1)
        assert torch.equal(coded_gather(codes, books), coded_gather(codes, by_hand))

    def test_permuting_nodes_permutes_nothing_but_the_codes(self):
        problem = make_problem(PLAIN)
        order = torch.randperm(60)
        place = torch.empty_like(order).index_copy_(0, order, torch.arange(60))
        moved = run_spmm(
            problem, PLAIN, codes=problem.codes[order], col=place[problem.col]
        )
        assert torch.equal(moved, run_spmm(problem, PLAIN))

    def test_strides(self):
        problem = make_problem(PLAIN)
        wide = torch.randint(5, (60, 8), dtype=torch.uint8)
        books = torch.randn(5, 4, 3).transpose(0, 1)
        col = problem.col.repeat_interleave(2)[::2]
        found = coded_spmm(problem.rowptr, col, problem.weight, wide[:, ::2], books)
        copied = wide[:, ::2].clone()
        want = coded_spmm(
            problem.rowptr, problem.col, problem.weight, copied, books.contiguous()
        )
        assert torch.equal(found, want)


def test_float64_passes_a_gradient_check():
    problem = make_problem(PLAIN)
    rowptr, col = torch.tensor([0, 2, 2, 5]), torch.tensor([0, 6, 3, 3, 1])
    books = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(5, dtype=torch.float64, requires_grad=True)
    for compose in ("concat", "sum"):
        for reduce in ("sum", "mean"):
            assert torch.autograd.gradcheck(
                lambda books, weight, compose=compose, reduce=reduce: coded_spmm(
                    rowptr, col, weight, problem.codes, books, reduce, compose=compose
                ),
                (books, weight),
            )
        assert torch.autograd.gradcheck(
            lambda books, compose=compose: coded_gather(
                problem.codes, books, col, compose=compose
            ),
            (books,),
        )


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("form", ["uint8", "packed"])
def test_opcheck(form):
    problem = make_problem(PLAIN._replace(form=form))
    packed = form == "packed"
    codes = problem.codes.packed if packed else problem.codes
    weight = problem.weight.requires_grad_()
    books = problem.books.weight.requires_grad_()
    layout = (list(PLAIN.sizes), packed, True)
    operations = torch.ops.kdgraph
    edges = (problem.rowptr, problem.col, weight)
    opcheck(operations.coded_spmm, (*edges, codes, books, *layout, True, True))
    opcheck(operations.coded_gather, (codes, books, None, *layout, True))
    opcheck(operations.coded_gather, (codes, books, problem.col, *layout, True))
    x = torch.randn(60, 5, requires_grad=True)
    there = tuple(given.detach() for given in edges)
    opcheck(operations.neighbor_sum, (*there, x, *transpose(problem), True))


@pytest.mark.usefixtures("backend_name")
def test_compiled_without_breaks():
    problem = make_problem(PLAIN)
    books = torch.randn(4, 5, 3, requires_grad=True)

    def loss(books, weight):
        sums = coded_spmm(problem.rowptr, problem.col, weight, problem.codes, books)
        return sums.square().sum() + coded_gather(problem.codes, books).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    weight = problem.weight.requires_grad_()
    want = torch.autograd.grad(loss(books, weight), (books, weight))
    found = torch.autograd.grad(compiled(books, weight), (books, weight))
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_sums_in_float32():
    problem = make_problem(PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        sums = run_spmm(problem, PLAIN)
    assert torch.equal(sums, run_spmm(problem, PLAIN))
    half = problem.books._replace(weight=problem.books.weight.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert run_spmm(problem, PLAIN, books=half).dtype == torch.float32


def test_neighbor_sum_is_a_product(backend_name):
    problem = make_problem(PLAIN)
    x = torch.randn(60, 37, requires_grad=True)
    adjacency = matrix(problem, "sum", 60)
    edges = (problem.rowptr, problem.col, problem.weight)
    found = neighbor_sum(*edges, x, transposed=transpose(problem))
    check_sum(found.detach(), adjacency, x.detach().double())
    grad = torch.randn_like(found)
    found.backward(grad)
    check_sum(x.grad, tuple(one.t() for one in adjacency), grad.double())


def test_a_transposed_graph_with_strides(backend_name):
    problem = make_problem(PLAIN)
    edges = (problem.rowptr, problem.col, problem.weight)
    back = transpose(problem)
    strided = tuple(part.repeat_interleave(2)[::2] for part in back)
    grads = []
    for transposed in (back, strided):
        x = torch.ones(60, 3, requires_grad=True)
        neighbor_sum(*edges, x, transposed=transposed).square().sum().backward()
        grads.append(x.grad)
    assert torch.equal(*grads)
    with pytest.raises(TypeError, match="the transposed col as int32 or int64"):
        neighbor_sum(*edges, x, transposed=(back[0], back[1].float(), back[2]))


def test_neighbor_sum_needs_the_transposed_graph():
    x = torch.ones(2, 1, requires_grad=True)
    sums = neighbor_sum(torch.tensor([0, 1]), torch.tensor([1]), None, x)
    with pytest.raises(RuntimeError, match="transposed"):
        sums.sum().backward()


@pytest.mark.parametrize("form", ["packed", "uint8", "int64"])
@pytest.mark.parametrize("compose", ["concat", "sum"])
@pytest.mark.parametrize("edges", [3, 30])
def test_only_rows_that_are_read_are_checked(edges, compose, form, backend_name):
    # None of the edges comes from the last node, whose 7 is no code of K = 5.
    codes = torch.tensor([[1, 2, 3]] * 9 + [[4, 7, 0]])
    given = codes.to(torch.uint8 if form == "uint8" else torch.int64)
    if form == "packed":
        given = PackedCodes(pack(codes, (5, 5, 5)), (5, 5, 5))
    books = torch.randn(3, 5, 4, requires_grad=True)
    rowptr, col = torch.tensor([0, edges]), torch.arange(edges) % 9
    coded_spmm(rowptr, col, None, given, books, compose=compose).sum().backward()
    assert torch.isfinite(books.grad).all()
    last = col.flip(0) + (9 - col.max())
    with pytest.raises(IndexError, match=r"codes in \[0, 5\) at position 1, got 7"):
        coded_spmm(rowptr, last, None, given, books, compose=compose)
    with pytest.raises(IndexError, match=r"codes in \[0, 5\) at position 1, got 7"):
        coded_gather(given, books, torch.tensor([9]), compose=compose)


def test_few_rows_cost_few_rows(backend_name):
    """A look-up of three rows takes as long in a table of 1,000 as of two million."""
    took = []
    for nodes in (1_000, 2_000_000):
        packed = torch.zeros(nodes, 2, dtype=torch.uint8)
        table, books = PackedCodes(packed, (3,) * 8), torch.randn(8, 3, 8)
        taken = []
        for _ in range(7):
            begun = time.perf_counter()
            coded_gather(table, books, torch.tensor([1, 2, 3]))
            taken.append(time.perf_counter() - begun)
        took.append(min(taken))
    assert took[1] < 5 * took[0] + 0.002


class TestBadInput:
    """Each gets a sentence; nothing outside is read."""

    @pytest.fixture(autouse=True)
    def _problem(self, backend_name):
        self.problem = make_problem(PLAIN)

    def spmm(self, **changes):
        return run_spmm(self.problem, PLAIN, **changes)

    @pytest.mark.parametrize("source", [-1, 60, 2**40])
    def test_a_source_out_of_range(self, source):
        col = self.problem.col.clone()
        col[4000] = source
        message = rf"nodes in \[0, 60\), got {source}"
        with pytest.raises(IndexError, match=message):
            self.spmm(col=col)
        with pytest.raises(IndexError, match=message):
            coded_gather(self.problem.codes, self.problem.books, col)
        with pytest.raises(IndexError, match=message):
            neighbor_sum(self.problem.rowptr, col, None, torch.ones(60, 3))

    @pytest.mark.parametrize("form", ["uint8", "int16", "int64", "packed"])
    def test_a_code_out_of_range(self, form):
        codes = make_problem(PLAIN._replace(form="int64")).codes
        codes[17, 2] = 6
        given = codes if form in ("int64", "packed") else codes.to(getattr(torch, form))
        if form == "packed":
            given = PackedCodes(pack(codes, PLAIN.sizes), PLAIN.sizes)
        with pytest.raises(IndexError, match=r"codes in \[0, 5\) at position 2, got 6"):
            self.spmm(codes=given)
        if form in ("int16", "int64"):
            given[17, 2] = -1
            with pytest.raises(IndexError, match="at position 2"):
                coded_gather(given, self.problem.books)

    @pytest.mark.parametrize("pointers", [[0, 3, 2, 9], [1, 3, 9, 9], [0, 1, 2, 8]])
    def test_row_pointers_that_are_none(self, pointers):
        col = torch.zeros(9, dtype=torch.int64)
        rowptr = torch.tensor(pointers)
        with pytest.raises(ValueError, match="rowptr to go from 0 to the 9 edges"):
            self.spmm(rowptr=rowptr, col=col, weight=None)

    def test_types_and_shapes(self):
        problem = self.problem
        books = torch.randn(4, 5, 3)
        for wrong, error, message in (
            ({"rowptr": problem.rowptr.float()}, TypeError, "rowptr as int32 or int64"),
            ({"rowptr": problem.rowptr[:0]}, ValueError, "at least its first entry"),
            ({"col": problem.col.view(1, -1)}, ValueError, "col of one axis"),
            ({"weight": problem.weight[1:]}, ValueError, "a weight per edge"),
            ({"weight": problem.weight.long()}, TypeError, "weight of a floating"),
            ({"codes": problem.codes.float()}, TypeError, "codes as uint8, int16"),
            ({"codes": problem.codes[:, 1:]}, ValueError, r"expected \[N, 4\]"),
            ({"codes": [1]}, TypeError, "a tensor or a CodeTable, got list"),
            ({"books": books[0]}, ValueError, r"codebooks \[D, K, S\]"),
            ({"books": books.long()}, TypeError, "of a floating-point type"),
            ({"books": None}, TypeError, "or as Codebooks, got NoneType"),
        ):
            with pytest.raises(error, match=message):
                self.spmm(**wrong)
        with pytest.raises(ValueError, match="compose 'concat' or 'sum', got 'mean'"):
            coded_gather(problem.codes, books, compose="mean")
        with pytest.raises(ValueError, match="reduce 'sum' or 'mean', got 'max'"):
            coded_spmm(problem.rowptr, problem.col, None, problem.codes, books, "max")

    def test_packed_codes_that_do_not_fit(self):
        table = CodeTable.from_codes(torch.zeros(9, 3, dtype=torch.int64), 7)
        with pytest.raises(ValueError, match=r"codes with K = \(7, 7, 7\)"):
            coded_gather(table, torch.randn(3, 5, 2))
        short = PackedCodes(table.packed[:, :1], table.codebook_sizes)
        with pytest.raises(ValueError, match=r"uint8 \[N, 2\], got .*\[9, 1\]"):
            coded_gather(short, torch.randn(3, 7, 2))
        prefix, _ = Prefix.of_leaves(torch.arange(9) // 3, (3,))
        with pytest.raises(ValueError, match=r"explicit\(\) codes"):
            coded_gather(CodeTable.from_prefix(prefix), torch.randn(1, 3, 2))


def test_checks_can_be_left_out(backend_name):
    problem = make_problem(PLAIN)
    found = coded_spmm(
        problem.rowptr,
        problem.col,
        problem.weight,
        problem.codes,
        problem.books,
        check=False,
    )
    assert torch.equal(found, run_spmm(problem, PLAIN))
