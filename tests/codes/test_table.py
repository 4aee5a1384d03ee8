"""Code tables and generated codes."""

import itertools

import numpy as np
import pytest
import torch

from kdgraph.codes import (
    CodeTable,
    check_codebook_sizes,
    compact_codes,
    expand_sizes,
    random_codes,
    table,
)

CODES = torch.tensor([[0, 4, 1], [2, 0, 0], [1, 3, 1]])


def test_from_codes_and_back():
    made = CodeTable.from_codes(CODES)
    assert made.codebook_sizes == (3, 5, 2)
    assert (made.num_nodes, made.num_codebooks, made.nbytes) == (3, 3, 3)
    assert torch.equal(made.codes(), CODES)
    assert torch.equal(made.codes(torch.tensor([2, 2, 0])), CODES[[2, 2, 0]])
    assert repr(made) == "CodeTable(3, codebook_sizes=(3, 5, 2))"
    assert CodeTable.from_codes(CODES, 8).codebook_sizes == (8, 8, 8)
    assert CodeTable.from_codes(CODES.to(torch.uint8), [3, 5, 2]).nbytes == 3
    assert CodeTable.from_codes(torch.zeros(2, 1).long()).codebook_sizes == (2,)


def test_packing_in_chunks(monkeypatch):
    codes = torch.randint(9, (50, 3))
    whole = CodeTable.from_codes(codes, 9)
    monkeypatch.setattr(table, "CHUNK_ROWS", 7)
    assert torch.equal(CodeTable.from_codes(codes, 9).packed, whole.packed)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: CodeTable(torch.zeros(2, 1).long(), [4]), TypeError),
        (lambda: CodeTable(torch.zeros(2, 2, dtype=torch.uint8), [4]), ValueError),
        (lambda: CodeTable(torch.zeros(2, dtype=torch.uint8), [4]), ValueError),
        (lambda: CodeTable.from_codes([[1]]), TypeError),
        (lambda: CodeTable.from_codes(CODES.float()), TypeError),
        (lambda: CodeTable.from_codes(CODES > 0), TypeError),
        (lambda: CodeTable.from_codes(CODES[0]), ValueError),
        (lambda: CodeTable.from_codes(CODES[:0]), ValueError),
        (lambda: CodeTable.from_codes(CODES[:, :0]), ValueError),
        (lambda: CodeTable.from_codes(CODES, [8, 8]), ValueError),
        (lambda: CodeTable.from_codes(CODES, 4), IndexError),
        (lambda: CodeTable.from_codes(-CODES, 8), IndexError),
        (lambda: CodeTable.from_codes(-CODES), IndexError),
        (lambda: CodeTable.from_codes(CODES, 1), ValueError),
        (lambda: CodeTable.from_codes(CODES, 65537), ValueError),
        (lambda: CodeTable.from_codes(CODES, [8.0] * 3), TypeError),
    ],
)
def test_bad_tables(build, error):
    with pytest.raises(error):
        build()


def test_from_file_keeps_what_it_can(tmp_path):
    np.save(tmp_path / "codes.npy", CODES.numpy().astype(np.int8))
    assert torch.equal(CodeTable.from_file(tmp_path / "codes.npy").codes(), CODES)
    with pytest.raises(ValueError, match=r"missing\.npy"):
        CodeTable.from_file(tmp_path / "missing.npy")


@pytest.mark.parametrize("sizes", [(3, 5, 2), (4, 4)])
def test_compact_codes_are_the_digits(sizes):
    every = list(itertools.product(*(range(size) for size in sizes)))
    for count in (1, 2, len(every) - 1, len(every)):
        made = compact_codes(count, len(sizes), sizes)
        assert [tuple(row) for row in made.codes().tolist()] == every[:count]
    with pytest.raises(ValueError, match=f"has {len(every)}"):
        compact_codes(len(every) + 1, len(sizes), sizes)


def test_random_codes_are_uniform_and_seeded():
    first = random_codes(8000, 2, (5, 16), generator=torch.Generator().manual_seed(3))
    again = random_codes(8000, 2, (5, 16), generator=torch.Generator().manual_seed(3))
    assert torch.equal(first.packed, again.packed)
    for position, size in enumerate((5, 16)):
        counts = torch.bincount(first.codes()[:, position], minlength=size)
        expected = 8000 / size
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < size - 1 + 5 * (2 * (size - 1)) ** 0.5


@pytest.mark.parametrize("make", [random_codes, compact_codes])
def test_codes_are_the_same_in_chunks_and_need_no_memory_to_be_counted(
    make, monkeypatch
):
    torch.manual_seed(0)
    whole = make(1000, 7, 3).codes()
    monkeypatch.setattr("kdgraph.codes.random.CHUNK_ROWS", 300)
    torch.manual_seed(0)
    parts = make(1000, 7, 3).codes()
    # The draws of a chunk come position by position: in its first, of other nodes.
    same = whole if make is compact_codes else whole[:, :1]
    assert torch.equal(parts[:300, : same.size(1)], same[:300])
    assert parts.amax() == 2
    with torch.device("meta"):
        assert make(10**9, 20, 3).nbytes == 5 * 10**9


@pytest.mark.parametrize("make", [random_codes, compact_codes])
def test_no_nodes(make):
    with pytest.raises(ValueError, match="at least one node"):
        make(0, 2, 4)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 4), ValueError),
        ((2.0, 4), TypeError),
        ((True, 4), TypeError),
        ((2, 1), ValueError),
        ((2, [4]), ValueError),
        ((2, [4, 4.0]), TypeError),
        ((2, "16"), TypeError),
        ((2, None), TypeError),
    ],
)
def test_bad_sizes(arguments, error):
    with pytest.raises(error):
        expand_sizes(*arguments)


def test_sizes():
    assert expand_sizes(3, 4) == (4, 4, 4)
    assert expand_sizes(2, [4, 65536]) == (4, 65536)
    assert check_codebook_sizes([np.int64(4)]) == (4,)
    with pytest.raises(ValueError, match="at least one position"):
        check_codebook_sizes([])
