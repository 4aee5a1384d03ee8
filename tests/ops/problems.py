"""Graphs and codes for the operations over codes, with what they must give."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.ops import Codebooks, PackedCodes, pack, position_offsets


class Case(NamedTuple):
    """One problem, and how it is put."""

    sizes: tuple[int, ...]
    width: int
    form: str
    compose: str
    shared: bool = False
    reduce: str = "sum"
    weighted: bool = True
    index: torch.dtype = torch.int64
    dtype: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        """What tells it from the others."""
        marks = [str(self.dtype)[6:], str(self.index)[6:], self.reduce]
        marks += ["shared"] * self.shared + ["ones"] * (not self.weighted)
        sizes = "x".join(map(str, dict.fromkeys(self.sizes)))
        head = f"{len(self.sizes)}of{sizes}-{self.width}-{self.form}-{self.compose}"
        return "-".join([head, *marks])


CASES = [
    # The shapes that are common: a byte per code, half a byte, a quarter, trees.
    Case((256,) * 16, 8, "uint8", "concat", index=torch.int32),
    Case((16,) * 16, 4, "packed", "concat"),
    Case((3,) * 32, 2, "packed", "concat", weighted=False),
    Case((4096, 1000, 256, 256), 24, "packed", "sum", index=torch.int32),
    Case((16,) * 8, 24, "packed", "sum", reduce="mean"),
    Case((256,) * 4, 130, "int16", "sum", weighted=False, reduce="mean"),
    # Odd ones: codes across bytes, single codewords, one position, wide codewords.
    Case((5, 2, 31, 300, 9), 3, "packed", "concat"),
    Case((7,) * 9, 5, "packed", "sum", shared=True),
    Case((1,), 1, "uint8", "sum"),
    Case((1, 1, 2), 9, "int64", "concat"),
    Case((2, 300), 33, "int16", "concat", shared=True, reduce="mean"),
    Case((40000, 2), 2, "int32", "concat", shared=True, reduce="mean"),
    Case((65536,), 8, "int64", "sum"),
    Case((65536, 3), 1, "packed", "concat"),
    Case((200,) * 5, 40, "uint8", "sum"),
    Case((200,) * 7, 16, "uint8", "concat", shared=True),
    Case((256,) * 16, 8, "uint8", "concat", dtype=torch.bfloat16),
    Case((16,) * 3, 12, "packed", "sum", dtype=torch.float16, reduce="mean"),
]


class Problem(NamedTuple):
    """Tensors of a case."""

    rowptr: Tensor
    col: Tensor
    weight: Tensor | None
    codes: Tensor | PackedCodes
    books: Codebooks
    rows: Tensor
    """``int64`` ``[N, D]``: the codeword of each node and position."""


def make_problem(case: Case, seed: int = 0) -> Problem:
    """A graph with empty rows, a hub, self-loops and edges that stand twice."""
    torch.manual_seed(seed)
    nodes, targets = 60, 90
    degrees = torch.randint(0, 12, (targets,))
    degrees[::7] = 0
    degrees[5] = 5000
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    col = torch.randint(nodes, (int(rowptr[-1]),))
    col[rowptr[:-1].clamp(max=col.numel() - 1)] = torch.arange(targets) % nodes
    col[100:110] = col[100]
    codes = torch.stack([torch.randint(size, (nodes,)) for size in case.sizes], dim=1)
    number = max(case.sizes) if case.shared else sum(case.sizes)
    first = [0] * len(case.sizes) if case.shared else position_offsets(case.sizes)
    offsets = torch.tensor(first)
    weight = torch.randn(number, case.width).to(case.dtype)
    given: Tensor | PackedCodes = codes
    if case.form == "packed":
        given = PackedCodes(pack(codes, case.sizes), case.sizes)
    elif case.form != "int64":
        given = codes.to(getattr(torch, case.form))
    return Problem(
        rowptr.to(case.index),
        col.to(case.index),
        torch.randn(col.numel()) if case.weighted else None,
        given,
        Codebooks(weight, offsets, case.sizes),
        codes + offsets,
    )


def dense(problem: Problem, compose: str, *, absolute: bool = False) -> Tensor:
    """The vectors of all nodes, in float64, by a loop over positions.

    Or, for bounds on rounding, those that absolute codewords would make.
    """
    books = problem.books.weight.detach().double()
    books = books.abs() if absolute else books
    parts = [books[column] for column in problem.rows.unbind(dim=1)]
    return torch.cat(parts, dim=1) if compose == "concat" else sum(parts[1:], parts[0])


def matrix(problem: Problem, reduce: str, nodes: int) -> tuple[Tensor, Tensor]:
    """The adjacency, dense and in float64, and that of absolute weights.

    Edges that stand twice add up.
    """
    rowptr = problem.rowptr.long()
    counts = rowptr.diff()
    target = torch.repeat_interleave(torch.arange(counts.numel()), counts)
    ones = torch.ones(problem.col.numel(), dtype=torch.float64)
    weight = ones if problem.weight is None else problem.weight.double()
    if reduce == "mean":
        weight = weight / counts[target]
    place = target, problem.col.long()
    empty = torch.zeros(counts.numel(), nodes, dtype=torch.float64)
    signed = empty.index_put(place, weight, accumulate=True)
    return signed, empty.index_put(place, weight.abs(), accumulate=True)


def check_sum(
    found: Tensor,
    left: tuple[Tensor, Tensor],
    right: Tensor,
    absolute: Tensor | None = None,
) -> None:
    """Check a product against float64: within 1e-5 of what its terms add up to."""
    bound = right.abs() if absolute is None else absolute
    want, scale = left[0] @ right, left[1] @ bound
    unit = 1e-5 if found.dtype == torch.float32 else 4 * torch.finfo(found.dtype).eps
    assert found.shape == want.shape
    assert bool(((found.double() - want).abs() <= unit * scale + 1e-30).all())
