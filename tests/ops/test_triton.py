"""The Triton kernels against the reference in float64.

They run on a GPU, or on the CPU in Triton's interpreter where TRITON_INTERPRET=1 is set
before anything imports Triton: ``test_in_the_interpreter`` does so in another process.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
import torch

from kdgraph.ops import (
    Codebooks,
    PackedCodes,
    backend,
    coded_gather,
    coded_spmm,
    neighbor_sum,
    pack,
    position_offsets,
    reference,
    row_bytes,
)
from kdgraph.ops.edges import Edges
from kdgraph.ops.layout import Layout

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
NUM_NODES = 13
ROUNDING = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


def on_device(test):
    """Run a test in the interpreter, or else on a GPU."""
    if INTERPRETED:
        return test
    reason = "needs an accelerator, or TRITON_INTERPRET=1"
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason=reason)
    return pytest.mark.cuda(skip(test))


@dataclass(frozen=True)
class Case:
    """A form of codes, codebooks and edges."""

    sizes: tuple[int, ...]
    width: int
    codes: torch.dtype | str = "packed"
    concat: bool = True
    shared: bool = False
    weight: torch.dtype | None = torch.float32
    mean: bool = False
    books: torch.dtype = torch.float32
    index: torch.dtype = torch.int64
    tile: int = 2048

    @property
    def layout(self):
        packed = self.codes == "packed"
        return Layout(self.sizes, packed, self.concat, self.shared)


CASES = {
    "nibbles": Case((16,) * 4, 8, mean=True),
    "bytes": Case((256,) * 3, 4, index=torch.int32),
    "bytes-sum": Case((256,) * 3, 4, torch.uint8, concat=False, mean=True),
    "ragged": Case((5, 300, 3, 17), 3, weight=torch.float64),
    "ragged-sum": Case((5, 300, 3, 17), 24, concat=False, weight=None),
    "ragged-shared": Case((5, 300, 3, 17), 3, torch.int16, shared=True),
    "shared-sum": Case((6, 6, 6), 5, concat=False, shared=True, mean=True),
    "three-bytes": Case((8, 65536, 2, 9000, 40000), 1, weight=None, mean=True),
    "bits": Case((2,) * 19, 1, weight=torch.bfloat16),
    "one-position": Case((7,), 6, torch.int64),
    "one-choice": Case((1,), 1),
    "one-choice-each": Case((1, 1, 4), 2, torch.int32, weight=None),
    "bfloat16": Case((9, 9), 8, books=torch.bfloat16, weight=torch.float16),
    "float16-sum": Case((9, 9), 8, torch.uint8, concat=False, books=torch.float16),
    "small-tiles": Case((5, 300, 3), 3, mean=True, tile=8),
    "smaller-tiles-sum": Case((5, 300), 5, concat=False, mean=True, tile=4),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request, monkeypatch):
    from kdgraph.ops import triton

    monkeypatch.setattr(triton, "_TILE", request.param.tile)
    return request.param


@pytest.fixture
def kernels():
    from kdgraph.ops import triton

    return triton


@pytest.fixture
def chosen(monkeypatch):
    """Ask for the kernels by name, as a user would."""
    monkeypatch.setenv("KDGRAPH_BACKEND", "triton")


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def graph(index=torch.int64):
    """No edges, a self-loop, the same edge three times, a hub, and none at the end."""
    hub = torch.randint(NUM_NODES, (41,)).tolist()
    degree = torch.tensor([0, 0, 1, 4, 0, 2, len(hub), 1, 0])
    rowptr = degree.cumsum(0)
    col = torch.tensor([1, 4, 4, 0, 4, 3, 12, *hub, 0])
    return rowptr.to(DEVICE, index), col.to(DEVICE, index)


def weighted(case, count):
    if case.weight is None:
        return None
    return torch.randn(count).to(DEVICE, case.weight)


def codes_of(case):
    columns = [torch.randint(size, (NUM_NODES,)) for size in case.sizes]
    codes = torch.stack(columns, dim=1)
    codes[-1] = torch.tensor(case.sizes) - 1
    if case.codes == "packed":
        return pack(codes, case.sizes).to(DEVICE)
    return codes.to(DEVICE, case.codes)


def books_of(case):
    return torch.randn(case.layout.num_rows, case.width).to(DEVICE, case.books)


def assert_near(found, expected, kind=torch.float32):
    """Near enough for float32, relative to the largest number."""
    assert found.dtype == kind
    bound = ROUNDING[kind]
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(
        found.double(), expected, rtol=bound, atol=bound * largest
    )


@on_device
def test_spmm(case, kernels):
    rowptr, col = graph(case.index)
    edges = Edges(rowptr, col, weighted(case, col.numel()), case.mean)
    codes, books, layout = codes_of(case), books_of(case), case.layout
    found = kernels.spmm(edges, codes, books, layout, check=True)
    expected = reference.spmm(edges, codes, books.double(), layout, check=True)
    assert_near(found, expected, case.books)
    assert not found[0].any()


@on_device
def test_gather(case, kernels):
    codes, books, layout = codes_of(case), books_of(case), case.layout
    some = torch.tensor([12, 0, 12, *range(13), *range(13), *range(13)])
    for n_id in (None, some.to(DEVICE, case.index), some[:0].to(DEVICE, case.index)):
        found = kernels.gather(codes, books, n_id, layout, check=True)
        expected = reference.gather(codes, books.double(), n_id, layout, check=True)
        assert_near(found, expected, case.books)
        if case.concat:
            assert torch.equal(found.double(), expected)


@on_device
@pytest.mark.parametrize("by", ["spmm", "spmm in fixed point", "gather"])
def test_grad_codebooks(case, kernels, request, by):
    rowptr, col = graph(case.index)
    edges = Edges(rowptr, col, weighted(case, col.numel()), case.mean)
    if by == "spmm in fixed point":
        request.getfixturevalue("deterministic")
    if by == "gather":
        edges = Edges(None, col)
    codes, layout, width = codes_of(case), case.layout, case.width
    targets = edges.targets(NUM_NODES)
    grad = torch.randn(targets, layout.width(width)).to(DEVICE, case.books)
    found = kernels.grad_codebooks(grad, edges, codes, layout, width=width)
    expected = reference.grad_codebooks(
        grad.double(), edges, codes, layout, width=width
    )
    assert_near(found, expected)


@on_device
def test_grad_weight(case, kernels):
    rowptr, col = graph(case.index)
    edges = Edges(rowptr, col, None, case.mean)
    codes, books, layout = codes_of(case), books_of(case), case.layout
    grad = torch.randn(rowptr.numel() - 1, layout.width(case.width))
    grad = grad.to(DEVICE, case.books)
    found = kernels.grad_weight(grad, edges, codes, books, layout)
    expected = reference.grad_weight(
        grad.double(), edges, codes, books.double(), layout
    )
    assert_near(found, expected)


@on_device
def test_a_hub_whose_edges_are_all_alike(kernels):
    """Rounding always the same way would add up."""
    case, count = Case((1,), 1), 5000
    rowptr = torch.tensor([0, 0, count], device=DEVICE)
    edges = Edges(rowptr, torch.zeros(count, dtype=torch.long, device=DEVICE))
    codes, tenth = codes_of(case), torch.full((1, 1), 0.1, device=DEVICE)
    sums = kernels.spmm(edges, codes, tenth, case.layout, check=True)
    want = torch.tensor([[0.0], [count * float(tenth)]], device=DEVICE)
    torch.testing.assert_close(sums, want, rtol=1e-6, atol=0.0)
    grad = tenth.expand(2, 1).contiguous()
    found = kernels.grad_codebooks(grad, edges, codes, case.layout, width=1)
    torch.testing.assert_close(found, want[1:], rtol=1e-6, atol=0.0)


@on_device
@pytest.mark.parametrize("kind", ROUNDING)
@pytest.mark.parametrize("width", [1, 6])
def test_neighbor_sum(kernels, kind, width):
    rowptr, col = graph()
    weight = torch.randn(col.numel(), device=DEVICE)
    x = torch.randn(NUM_NODES, width).to(DEVICE, kind)
    found = kernels.neighbor_sum(Edges(rowptr, col, weight), x, check=True)
    matrix = torch.zeros(rowptr.numel() - 1, NUM_NODES, dtype=torch.float64)
    for target, (start, stop) in enumerate(rowptr.unfold(0, 2, 1).tolist()):
        for edge in range(start, stop):
            matrix[target, int(col[edge])] += float(weight[edge])
    assert_near(found, matrix.to(DEVICE) @ x.double(), kind)


@on_device
def test_gradients_reach_what_a_user_passes(chosen):
    assert backend(DEVICE) == "triton"
    sizes, (rowptr, col) = (5, 3, 17), graph()
    codes = torch.stack([torch.randint(k, (NUM_NODES,)) for k in sizes], dim=1)
    rows = PackedCodes(pack(codes, sizes).to(DEVICE), sizes)
    offsets = torch.tensor(position_offsets(sizes), device=DEVICE)
    start = torch.randn(sum(sizes), 4), torch.randn(col.numel()), torch.randn(8, 4)
    gradients = []
    for kind in (torch.float32, torch.float64):  # the latter is the reference's
        flat, weight, x = (
            t.to(DEVICE, kind, copy=True).requires_grad_() for t in start
        )
        books = Codebooks(flat, offsets, sizes)
        sums = coded_spmm(rowptr, col, weight, rows, books, "mean")
        nodes = coded_gather(rows, books, col[:5], compose="sum")
        back = (torch.arange(9, device=DEVICE), torch.arange(8, device=DEVICE), None)
        same = neighbor_sum(back[0], back[1], None, x, transposed=back)
        (sums.square().sum() + nodes.square().sum() + same.pow(3).sum()).backward()
        gradients.append([flat.grad, weight.grad, x.grad])
    for found, expected in zip(*gradients, strict=True):
        assert_near(found, expected)


@on_device
@pytest.mark.parametrize("concat", [False, True], ids=["sum", "concat"])
def test_fixed_point_does_not_depend_on_the_order_of_edges(
    kernels, deterministic, concat
):
    case = Case((5, 2, 17), 4, concat=concat, shared=True)
    rowptr, col = graph()
    weight, codes = torch.randn(col.numel(), device=DEVICE), codes_of(case)
    degree = rowptr.diff()
    grad = torch.randn(degree.numel(), case.layout.width(4), device=DEVICE)
    grad *= torch.logspace(-6, 6, degree.numel(), device=DEVICE).unsqueeze(1)

    def run(rowptr, col, weight, grad):
        edges = Edges(rowptr, col, weight, mean=True)
        return kernels.grad_codebooks(grad, edges, codes, case.layout, width=4)

    backwards = torch.cat([degree.new_zeros(1), degree.flip(0).cumsum(0)])
    first = run(rowptr, col, weight, grad)
    assert torch.equal(first, run(rowptr, col, weight, grad))
    turned = run(backwards, col.flip(0), weight.flip(0), grad.flip(0))
    assert torch.equal(first, turned)


@on_device
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fixed_point_shows_a_gradient_that_is_not_finite(kernels, deterministic, bad):
    case, edges = Case((4, 4), 2), Edges(None, torch.arange(3, device=DEVICE))
    grad = torch.ones(3, 4, device=DEVICE)
    grad[1, 2] = bad
    found = kernels.grad_codebooks(grad, edges, codes_of(case), case.layout, width=2)
    assert not torch.isfinite(found[:, 0]).any()
    assert torch.isfinite(found[:, 1]).all()


@on_device
def test_fixed_point_of_small_and_of_no_gradients(kernels, deterministic):
    case, edges = Case((1, 1), 2), Edges(None, torch.arange(3, device=DEVICE))
    for value in (0.0, 1e-40, 1e-30, 1e30):
        grad = torch.full((3, 4), value, device=DEVICE)
        found = kernels.grad_codebooks(
            grad, edges, codes_of(case), case.layout, width=2
        )
        assert torch.equal(found, (3 * grad[0].double()).view(2, 2).float())


@on_device
@pytest.mark.parametrize("targets", [0, 3])
def test_no_edges(kernels, targets):
    case = Case((5, 3), 2, mean=True)
    rowptr = torch.zeros(targets + 1, dtype=torch.long, device=DEVICE)
    col = torch.empty(0, dtype=torch.long, device=DEVICE)
    edges = Edges(rowptr, col, None, mean=True)
    codes, books, layout = codes_of(case), books_of(case), case.layout
    sums = kernels.spmm(edges, codes, books, layout, check=True)
    assert torch.equal(sums, sums.new_zeros(targets, 4))
    by_books = kernels.grad_codebooks(sums, edges, codes, layout, width=2)
    assert torch.equal(by_books, books.new_zeros(8, 2))
    by_weight = kernels.grad_weight(sums, edges, codes, books, layout)
    assert by_weight.shape == (0,)
    rows = kernels.neighbor_sum(edges, books, check=True)
    assert torch.equal(rows, rows.new_zeros(targets, 2))


@pytest.mark.skipif(not INTERPRETED, reason="needs TRITON_INTERPRET=1")
def test_what_lies_outside_is_refused(kernels):
    case, (rowptr, col) = Case((5, 3), 2, torch.int32), graph()
    codes, books, layout = codes_of(case), books_of(case), case.layout
    wrong = Edges(rowptr, col.clone().fill_(NUM_NODES))
    with pytest.raises(IndexError, match=r"nodes in \[0, 13\), got 13"):
        kernels.spmm(wrong, codes, books, layout, check=True)
    with pytest.raises(IndexError, match=r"nodes in \[0, 13\), got 13"):
        kernels.neighbor_sum(wrong, books.new_zeros(NUM_NODES, 1), check=True)
    codes[2, 1] = 3
    with pytest.raises(IndexError, match=r"codes in \[0, 3\) at position 1, got 3"):
        kernels.gather(codes, books, None, layout, check=True)


def test_where_the_kernels_run(kernels):
    sentence = "TRITON_INTERPRET=1"
    assert (sentence in kernels.unavailable("cpu")) == (not INTERPRETED)
    assert (kernels.unavailable("cpu") == "") == INTERPRETED
    runs_on_cuda = INTERPRETED or torch.cuda.is_available()
    assert (kernels.unavailable("cuda") == "") == runs_on_cuda
    assert "not for mps" in kernels.unavailable("mps")


COMPILED = {
    "spmm": {"out": "*bf16"},
    "gather": {"out": "*bf16", "rowptr": None, "weight": None},
    "neighbor_sum": {"out": "*bf16", "codes": None, "tables": None},
    "grad_codebooks": {"out": "*fp64", "scale": None},
    "grad_codebooks_fixed": {"out": "*i64", "scale": "*fp64"},
    "grad_weight": {},
}
TYPES = {"codes": "*u8", "codebooks": "*bf16", "rowptr": "*i64", "num_edges": "i32"}
TYPES |= {"col": "*i32", "tables": "*i32"}


@pytest.mark.skipif(INTERPRETED, reason="needs Triton's compiler")
@pytest.mark.parametrize("form", ["ragged", "ragged-sum"])
@pytest.mark.parametrize("name", COMPILED)
def test_kernels_compile_for_a_gpu(kernels, name, form):
    """The interpreter takes much that the compiler does not."""
    triton = pytest.importorskip("triton", minversion="3.3")
    compiler = pytest.importorskip("triton.compiler")
    backends = pytest.importorskip("triton.backends.compiler")
    case, types = CASES[form], {**TYPES, **COMPILED[name]}
    rowptr = None if types["rowptr"] is None else torch.zeros(1)
    rows = torch.empty(1, row_bytes(case.sizes))
    tile = kernels._tile(Edges(rowptr, None, mean=True), rows, case.width, case.layout)
    attribute = {"gather": "spmm", "neighbor_sum": "spmm"}.get(name, name)
    kernel = getattr(kernels.kernels, attribute.removesuffix("_fixed"))
    absent = [arg for arg in kernel.arg_names if types.get(arg, "*fp32") is None]
    constants = {**tile, **dict.fromkeys(absent)}
    constants = {arg: constants[arg] for arg in kernel.arg_names if arg in constants}
    signature = {
        arg: "constexpr" if arg in constants else types.get(arg, "*fp32")
        for arg in kernel.arg_names
    }
    source = compiler.ASTSource(kernel, signature, constants)
    made = triton.compile(source, target=backends.GPUTarget("cuda", 80, 32))
    added = {"grad_codebooks": ".add.f64", "grad_codebooks_fixed": ".add.u64"}
    assert added.get(name, "st.global") in made.asm["ptx"]


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="runs the others like this")
def test_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_nothing_else_imports_the_kernels():
    script = (
        "import sys, torch, kdgraph.cli, kdgraph.nn, kdgraph.ops as ops\n"
        "assert ops.backend() != 'triton'\n"
        "ops.coded_gather(torch.zeros(2, 1, dtype=torch.uint8), torch.ones(1, 1, 1))\n"
        "assert 'kdgraph.ops.triton' not in sys.modules"
    )
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
