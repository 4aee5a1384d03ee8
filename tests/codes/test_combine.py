"""Positions of several tables side by side."""

import pytest
import torch

from kdgraph.codes import CodeTable, Prefix, combine, random_codes
from kdgraph.codes.combine import combine_codes

TABLES = [
    random_codes(50, len(sizes), sizes, generator=torch.Generator().manual_seed(seed))
    for seed, sizes in enumerate([(16, 256), (3,), (5, 64, 2)])
]


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_codes_stand_side_by_side(monkeypatch, chunk):
    monkeypatch.setattr(combine, "CHUNK_ROWS", chunk)
    both = combine_codes(*TABLES)
    assert both.codebook_sizes == (16, 256, 3, 5, 64, 2)
    assert torch.equal(both.codes(), torch.cat([t.codes() for t in TABLES], dim=1))
    rebuilt = CodeTable.from_codes(both.codes(), both.codebook_sizes)
    assert torch.equal(both.packed, rebuilt.packed)


def test_combination_is_associative_and_one_table_is_itself():
    first, second, third = TABLES
    left = combine_codes(combine_codes(first, second), third)
    assert torch.equal(left.packed, combine_codes(*TABLES).packed)
    assert torch.equal(combine_codes(first).packed, first.packed)


def test_a_prefix_is_written_out():
    prefix = Prefix(torch.tensor([0, 20, 50]), (2,))
    both = combine_codes(TABLES[0].prefixed(prefix), TABLES[1])
    first = torch.tensor([[0]] * 20 + [[1]] * 30)
    columns = [first, TABLES[0].codes(), TABLES[1].codes()]
    assert torch.equal(both.codes(), torch.cat(columns, dim=1))
    assert both.prefix is None


def test_bad_input():
    with pytest.raises(ValueError, match="at least one CodeTable, got none"):
        combine_codes()
    with pytest.raises(ValueError, match=r"same nodes, got \[50, 49\] rows"):
        combine_codes(TABLES[0], random_codes(49, 1, 4))
    with pytest.raises(TypeError, match="expects CodeTables, got Tensor"):
        combine_codes(TABLES[0], TABLES[0].codes())
