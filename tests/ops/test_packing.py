"""Packing against a loop over single bits."""

import itertools

import pytest
import torch

from kdgraph.ops import (
    MAX_CODEBOOK_SIZE,
    code_bits,
    pack,
    row_bytes,
    unpack,
    unpack_nodes,
)


def naive_pack(rows, sizes):
    """Bit by bit, least significant first, from the definition."""
    packed = []
    for row in rows:
        bits = []
        for code, size in zip(row, sizes, strict=True):
            width = next(b for b in range(1, 17) if 2**b >= size)
            bits += [(code >> bit) & 1 for bit in range(width)]
        bits += [0] * (-len(bits) % 8)
        packed.append(
            [
                sum(bit << place for place, bit in enumerate(bits[start : start + 8]))
                for start in range(0, len(bits), 8)
            ]
        )
    return packed


def random_rows(sizes, count=9):
    columns = [torch.randint(size, (count,)) for size in sizes]
    rows = torch.stack(columns, dim=1)
    rows[0] = 0
    rows[1] = torch.tensor(sizes) - 1
    return rows


def check(rows, sizes):
    packed = pack(rows, sizes)
    assert packed.dtype == torch.uint8
    assert packed.tolist() == naive_pack(rows.tolist(), sizes)
    assert packed.shape == (len(rows), row_bytes(sizes))
    found = unpack(packed, sizes)
    assert found.dtype == torch.int64
    assert torch.equal(found, rows)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("positions", [1, 2, 3, 7, 8, 9, 17])
def test_every_width(bits, positions):
    for size in {2**bits, max(2, 2**bits - 1), 2 ** (bits - 1) + 1}:
        sizes = [size] * positions
        check(random_rows(sizes), sizes)


@pytest.mark.parametrize("seed", range(20))
def test_mixed_widths(seed):
    torch.manual_seed(seed)
    widths = torch.randint(1, 17, (torch.randint(1, 12, ()).item(),))
    sizes = [
        int(torch.randint(2 ** (int(w) - 1) + 1, 2 ** int(w) + 1, ())) for w in widths
    ]
    check(random_rows(sizes), sizes)


@pytest.mark.parametrize(
    "sizes", [[2], [5], [256], [2, 2, 2], [3, 4, 5], [7, 2, 9], [16, 16], [17, 8]]
)
def test_every_code_of_small_alphabets(sizes):
    rows = torch.tensor(list(itertools.product(*(range(size) for size in sizes))))
    check(rows, sizes)
    assert len(torch.unique(pack(rows, sizes), dim=0)) == len(rows)


def test_every_code_of_sixteen_bits():
    rows = torch.arange(MAX_CODEBOOK_SIZE).view(-1, 1)
    packed = pack(rows, [MAX_CODEBOOK_SIZE])
    assert torch.equal(packed[:, 0].long() + 256 * packed[:, 1].long(), rows[:, 0])
    assert torch.equal(unpack(packed, [MAX_CODEBOOK_SIZE]), rows)


def test_code_bits_by_definition():
    for size in range(2, 5000):
        bits = code_bits(size)
        assert 2 ** (bits - 1) < size <= 2**bits or (size, bits) == (2, 1)


def test_narrow_input_types_and_no_rows():
    rows = torch.tensor([[3, 200], [0, 255]], dtype=torch.uint8)
    assert torch.equal(unpack(pack(rows, [4, 256]), [4, 256]), rows.long())
    empty = torch.empty(0, 2, dtype=torch.long)
    for sizes in ([4, 256], [16, 16], [256, 256]):
        assert pack(empty, sizes).shape == (0, row_bytes(sizes))
        assert unpack(pack(empty, sizes), sizes).shape == (0, 2)


def test_rows_of_nodes():
    sizes = [5, 300, 2]
    rows = random_rows(sizes, 30)
    packed = pack(rows, sizes)
    n_id = torch.tensor([4, 4, 29])
    assert torch.equal(unpack_nodes(packed, n_id, sizes), rows[n_id])
    assert torch.equal(unpack_nodes(packed, None, sizes), rows)
    for bad in (-1, 30):
        with pytest.raises(IndexError):
            unpack_nodes(packed, torch.tensor([bad]), sizes)
