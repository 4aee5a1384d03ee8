"""Packed rows as integers, by whatever is there, against what was packed."""

import pytest
import torch

from kdgraph.ops import pack, row_bytes, unpack_nodes

SIZES = [(16, 16), (256, 64, 64, 64, 64), (3,) * 32, (65536, 2, 300, 5) * 3, (2,)]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{row_bytes(sizes)}-bytes")
def test_rows_of_any_nodes(sizes):
    codes = torch.stack([torch.randint(size, (70,)) for size in sizes], dim=1)
    codes[0] = torch.tensor(sizes) - 1
    packed, n_id = pack(codes, sizes), torch.randint(70, (200,))
    assert torch.equal(unpack_nodes(packed, None, sizes), codes)
    assert torch.equal(unpack_nodes(packed, n_id, sizes), codes[n_id])
    assert torch.equal(unpack_nodes(packed, n_id.int(), sizes), codes[n_id])
    assert unpack_nodes(packed, n_id[:0], sizes).shape == (0, len(sizes))


@pytest.mark.parametrize("wrong", [-1, 70])
def test_ids_out_of_range(wrong):
    packed = pack(torch.zeros(70, 2, dtype=torch.long), (16, 16))
    with pytest.raises(IndexError):
        unpack_nodes(packed, torch.tensor([0, wrong]), (16, 16))
