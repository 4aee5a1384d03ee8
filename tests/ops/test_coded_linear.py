"""coded_linear against dense products in float64, and against itself in two steps."""

import random

import pytest
import torch
from torch.library import opcheck

from kdgraph.ops import backend, coded_gather, coded_linear, coded_spmm, native
from tests.ops.problems import CASES, Case, make_problem, matrix
from tests.ops.test_fuzz import random_case

PLAIN = Case((5,) * 4, 3, "uint8", "concat")
SUMMED = [case for case in CASES if case.reduce == "sum"]
HEIGHTS = (1, 5, 32, 45)


def composed(books, problem, compose):
    """The vectors of all nodes, in the type of the books."""
    parts = [books[column] for column in problem.rows.unbind(dim=1)]
    return torch.cat(parts, dim=1) if compose == "concat" else sum(parts[1:], parts[0])


def by_hand(problem, case, weight, grad, adjacency, *, absolute=False):
    """The result and both gradients by torch on float64, or bounds on their terms."""
    books = problem.books.weight.detach().double()
    weight, grad = weight.detach().double(), grad.double()
    if absolute:
        books, weight, grad = books.abs(), weight.abs(), grad.abs()
    books.requires_grad_()
    weight.requires_grad_()
    result = adjacency @ composed(books, problem, case.compose) @ weight.t()
    return [result.detach(), *torch.autograd.grad(result, (books, weight), grad)]


def check(case, height, seed=0, *, edges=True):
    problem = make_problem(case, seed)
    books = problem.books._replace(weight=problem.books.weight.requires_grad_())
    width = case.width * (len(case.sizes) if case.compose == "concat" else 1)
    weight = torch.randn(height, width).to(case.dtype).requires_grad_()
    nodes = problem.rows.size(0)
    given = (problem.rowptr, problem.col, problem.weight) if edges else (None,) * 3
    each = torch.eye(nodes, dtype=torch.float64)
    adjacency = matrix(problem, "sum", nodes) if edges else (each, each)
    found = coded_linear(*given, problem.codes, books, weight, compose=case.compose)
    grad = torch.randn_like(found)
    found.backward(grad)
    want = by_hand(problem, case, weight, grad, adjacency[0])
    bounds = by_hand(problem, case, weight, grad, adjacency[1], absolute=True)
    exact = case.dtype == torch.float32
    unit = 1e-5 if exact else 8 * torch.finfo(case.dtype).eps
    for one, other, bound in zip(
        (found.detach(), books.weight.grad, weight.grad), want, bounds, strict=True
    ):
        assert one.dtype == case.dtype
        assert one.shape == other.shape
        assert bool(((one.double() - other).abs() <= unit * bound + 1e-30).all())


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("case", SUMMED, ids=lambda case: case.name)
def test_results_and_gradients(case, height):
    check(case, height)


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("case", SUMMED[:4], ids=lambda case: case.name)
def test_vectors_of_the_nodes_themselves(case):
    check(case, 7, edges=False)


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("seed", range(30))
def test_random_cases(seed):
    rng = random.Random(1000 + seed)
    case = random_case(rng)._replace(reduce="sum")
    check(case, rng.choice([1, 2, 16, 31, 64, 100]), seed, edges=rng.random() < 0.8)


@pytest.mark.parametrize("case", SUMMED[:6], ids=lambda case: case.name)
def test_instruction_sets_agree(case, isa, monkeypatch):
    monkeypatch.setenv("KDGRAPH_BACKEND", "native")
    check(case, 45)


def test_who_maps_sums_as_they_are_made(isa):
    books, weight = torch.zeros(4, 2), torch.zeros(8, 8)
    assert native.fuses(books, weight) == (isa != "portable")
    assert not native.fuses(books.bfloat16(), weight.bfloat16())
    assert not native.fuses(books, torch.zeros(1000, 1000))


def test_a_matrix_beyond_the_cache(backend_name):
    problem = make_problem(PLAIN)
    weight = torch.randn(30_000, 12)
    found = coded_linear(
        problem.rowptr, problem.col, None, problem.codes, problem.books, weight
    )
    sums = coded_spmm(problem.rowptr, problem.col, None, problem.codes, problem.books)
    assert torch.equal(found, sums @ weight.t())


def test_threads_change_nothing(backend_name):
    problem = make_problem(CASES[0])
    rowptr = torch.arange(0, 200_000, 100, dtype=torch.int32)
    col = torch.randint(60, (int(rowptr[-1]),), dtype=torch.int32)
    edges = rowptr, col, torch.randn(col.numel())
    books = problem.books._replace(weight=problem.books.weight.requires_grad_())
    weight = torch.randn(40, 128, requires_grad=True)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            out = coded_linear(*edges, problem.codes, books, weight)
            grads = torch.autograd.grad(out.square().sum(), (books.weight, weight))
            found.append((out.detach(), *grads))
    finally:
        torch.set_num_threads(before)
    fused = backend() == "native" and native.fuses(books.weight, weight)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            # Torch's own product may add up in another order with other threads, and
            # what nearly cancels errs as its summands do.
            atol = 0.0 if fused else 1e-5 * float(one.abs().max())
            torch.testing.assert_close(one, same, rtol=0.0, atol=atol)


def test_learned_weights_of_edges(backend_name):
    problem = make_problem(PLAIN)
    weight = torch.randn(6, 12)
    given = problem.weight.clone().requires_grad_()
    out = coded_linear(
        problem.rowptr, problem.col, given, problem.codes, problem.books, weight
    )
    (found,) = torch.autograd.grad(out.sum(), given)
    x = coded_gather(problem.codes, problem.books)
    want = (x @ weight.t()).sum(dim=1)[problem.col]
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    operation = torch.ops.kdgraph.coded_linear
    books = problem.books.weight
    flat = (problem.codes, books, weight, list(PLAIN.sizes), False, True, True)
    out = operation(problem.rowptr, problem.col, given, *flat)
    with pytest.raises(RuntimeError, match="no gradient by the weights of edges"):
        out.sum().backward()


def test_no_edges_no_targets_no_nodes(backend_name):
    problem = make_problem(PLAIN)
    none = torch.zeros(0, dtype=torch.int64)
    books = problem.books._replace(weight=problem.books.weight.requires_grad_())
    weight = torch.randn(6, 12, requires_grad=True)
    pointers = torch.zeros(5, dtype=torch.int64)
    out = coded_linear(pointers, none, None, problem.codes, books, weight)
    assert torch.equal(out, torch.zeros(4, 6))
    out.sum().backward()
    assert not books.weight.grad.any()
    assert not weight.grad.any()
    for codes in (problem.codes, problem.codes[:0]):
        out = coded_linear(pointers[:1], none, None, codes, books, weight)
        assert out.shape == (0, 6)
    nobody = coded_linear(None, None, None, problem.codes[:0], books, weight)
    assert nobody.shape == (0, 6)


def test_float64_passes_a_gradient_check():
    problem = make_problem(PLAIN)
    rowptr, col = torch.tensor([0, 2, 2, 5]), torch.tensor([0, 6, 3, 3, 1])
    books = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    edge_weight = torch.rand(5, dtype=torch.float64)
    for compose, width in (("concat", 12), ("sum", 3)):
        weight = torch.randn(2, width, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda books, weight, compose=compose: coded_linear(
                rowptr, col, edge_weight, problem.codes, books, weight, compose=compose
            ),
            (books, weight),
        )


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("form", ["uint8", "packed"])
def test_opcheck(form):
    problem = make_problem(PLAIN._replace(form=form))
    packed = form == "packed"
    codes = problem.codes.packed if packed else problem.codes
    books = problem.books.weight.requires_grad_()
    weight = torch.randn(6, 12, requires_grad=True)
    edges = (problem.rowptr, problem.col, problem.weight)
    rest = (codes, books, weight, list(PLAIN.sizes), packed, True, True)
    opcheck(torch.ops.kdgraph.coded_linear, (*edges, *rest))
    opcheck(torch.ops.kdgraph.coded_linear, (None, None, None, *rest))


@pytest.mark.usefixtures("backend_name")
def test_compiled_without_breaks():
    problem = make_problem(PLAIN)
    books = torch.randn(4, 5, 3, requires_grad=True)
    weight = torch.randn(6, 12, requires_grad=True)
    edges = (problem.rowptr, problem.col, problem.weight)

    def loss(books, weight):
        return coded_linear(*edges, problem.codes, books, weight).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    want = torch.autograd.grad(loss(books, weight), (books, weight))
    found = torch.autograd.grad(compiled(books, weight), (books, weight))
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("learned", [False, True])
def test_autocast_maps_in_float32(learned):
    problem = make_problem(PLAIN)
    edges = problem.rowptr, problem.col, problem.weight.requires_grad_(learned)
    given = *edges, problem.codes, problem.books, torch.randn(6, 12)
    with torch.autocast("cpu", torch.bfloat16):
        found = coded_linear(*given)
    assert torch.equal(found, coded_linear(*given))


@pytest.mark.usefixtures("backend_name")
def test_only_what_is_asked_for_is_computed():
    problem = make_problem(PLAIN)
    edges = problem.rowptr, problem.col, problem.weight
    weight, grads = torch.randn(6, 12), []
    upstream = torch.randn(90, 6)
    for by_books, by_matrix in ((True, True), (True, False), (False, True)):
        books = problem.books._replace(
            weight=problem.books.weight.clone().requires_grad_(by_books)
        )
        weight = weight.detach().clone().requires_grad_(by_matrix)
        coded_linear(*edges, problem.codes, books, weight).backward(upstream)
        grads.append((books.weight.grad, weight.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[2][1])
    assert grads[1][1] is None
    assert grads[2][0] is None


@pytest.mark.usefixtures("backend_name")
def test_a_gradient_of_a_gradient_is_refused():
    problem = make_problem(PLAIN)
    edges = problem.rowptr, problem.col, problem.weight
    books = torch.randn(4, 5, 3, requires_grad=True)
    weight = torch.randn(6, 12, requires_grad=True)
    for out in (
        coded_linear(*edges, problem.codes, books, weight),
        coded_spmm(*edges, problem.codes, books) @ weight.t(),
        coded_gather(problem.codes, books) @ weight.t(),
    ):
        (grad,) = torch.autograd.grad(out.square().sum(), books, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiable once"):
            grad.square().sum().backward()


@pytest.mark.usefixtures("backend_name")
def test_a_map_much_wider_than_the_sums():
    problem = make_problem(Case((5,), 2, "uint8", "concat"))
    weight = torch.randn(1500, 2)
    edges = problem.rowptr, problem.col, problem.weight
    found = coded_linear(*edges, problem.codes, problem.books, weight)
    sums = coded_spmm(*edges, problem.codes, problem.books)
    torch.testing.assert_close(found, sums @ weight.t(), rtol=1e-4, atol=1e-3)


@pytest.mark.usefixtures("backend_name")
class TestBadInput:
    def refused(self, error, match, **changes):
        problem = make_problem(PLAIN)
        given = {
            "rowptr": problem.rowptr,
            "col": problem.col,
            "weight": problem.weight,
            "codes": problem.codes,
            "codebooks": problem.books,
            "matrix": torch.zeros(6, 12),
        }
        with pytest.raises(error, match=match):
            coded_linear(**given | changes)

    def test_a_matrix_of_another_width(self):
        self.refused(
            ValueError, r"\[H, 12\].*got shape \[6, 13\]", matrix=torch.zeros(6, 13)
        )
        self.refused(ValueError, r"got shape \[12\]", matrix=torch.zeros(12))

    def test_a_matrix_of_integers(self):
        self.refused(TypeError, "floating-point", matrix=torch.zeros(6, 12).long())
        self.refused(TypeError, "got list", matrix=[[1.0]])

    def test_half_of_a_graph(self):
        self.refused(ValueError, "or neither", rowptr=None)
        self.refused(ValueError, "no weight", rowptr=None, col=None)

    def test_what_lies_outside(self):
        col = torch.full((int(make_problem(PLAIN).rowptr[-1]),), 60)
        self.refused(IndexError, "60", col=col)
        codes = torch.full((60, 4), 5, dtype=torch.uint8)
        self.refused(IndexError, "5", codes=codes)
        rowptr = make_problem(PLAIN).rowptr.flip(0)
        self.refused(ValueError, "rowptr", rowptr=rowptr)
