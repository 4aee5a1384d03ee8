"""Rows of 8 and 4 bits against torch's own, and a loop over rows."""

import pytest
import torch

from kdgraph.baselines import QuantizedRows


def rows(num_nodes=40, width=12):
    scale = torch.logspace(-4, 2, num_nodes).unsqueeze(1)
    return torch.randn(num_nodes, width) * scale + scale


@pytest.mark.parametrize("bits", [8, 4])
def test_bytes_are_those_of_torch(bits):
    table = rows()
    prepack = {
        8: torch.ops.quantized.embedding_bag_byte_prepack,
        4: torch.ops.quantized.embedding_bag_4bit_prepack,
    }[bits]
    unpack = {
        8: torch.ops.quantized.embedding_bag_byte_unpack,
        4: torch.ops.quantized.embedding_bag_4bit_unpack,
    }[bits]
    encoder = QuantizedRows.of(table, bits)
    packed = prepack(table)
    assert torch.equal(encoder.rows, packed)
    torch.testing.assert_close(encoder(), unpack(packed), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [1, 7, 8])
@pytest.mark.parametrize("bits", [8, 4])
def test_rows_are_the_loop(bits, width):
    table = rows(width=width).double()
    encoder = QuantizedRows.of(table, bits)
    found = encoder(torch.tensor([3, 39, 3]))
    assert found.dtype == torch.float64
    for at, node in enumerate([3, 39, 3]):
        row = table[node].float().double()
        low, high = float(row.min()), float(row.max())
        if bits == 4:
            low = float(torch.tensor(low).half())
        step = (high - low) / (2**bits - 1)
        if bits == 4:
            step = float(torch.tensor(step).half())
        for channel in range(width):
            whole = round((float(row[channel]) - low) / step) if step else 0
            whole = min(max(whole, 0), 2**bits - 1)
            expected = low + whole * step
            assert float(found[at, channel]) == pytest.approx(
                expected, rel=1e-5, abs=1e-5 * abs(low)
            )


@pytest.mark.parametrize("bits", [8, 4])
def test_nothing_is_off_by_more_than_half_a_step(bits):
    table = rows(200, 16)
    off = (QuantizedRows.of(table, bits)() - table).abs().amax(dim=1)
    spread = table.amax(dim=1) - table.amin(dim=1)
    # float16 keeps an offset to 2^-11 of itself and a step to 2^-11 of itself.
    rounding = (spread + table.abs().amax(dim=1)) * (2**-10 if bits == 4 else 1e-6)
    assert bool((off <= spread / (2**bits - 1) / 2 + rounding + 2e-8).all())
    assert float(off.max()) > 0


def test_rows_that_do_not_vary_come_back():
    table = torch.tensor([[0.0, 0.0], [2.5, 2.5], [-1.0, -1.0]])
    for bits in (8, 4):
        assert torch.equal(QuantizedRows.of(table, bits)(), table)
    tiny = torch.full((1, 4), 1e-30)
    assert torch.equal(QuantizedRows.of(tiny)(), tiny)


@pytest.mark.parametrize(("bits", "row"), [(8, 7 + 8), (4, 4 + 4)])
def test_bytes_are_exact(bits, row):
    encoder = QuantizedRows.of(torch.randn(30, 7), bits)
    assert encoder.inference_bytes() == encoder.training_bytes() == 30 * row
    assert encoder.to(torch.bfloat16).inference_bytes() == 30 * row
    assert encoder.double().inference_bytes() == 30 * row
    with torch.device("meta"):
        large = QuantizedRows(10**9, 7, bits=bits)
    assert large.inference_bytes() == 10**9 * row
    assert not list(encoder.parameters())


def test_within():
    assert QuantizedRows.within(30 * 15, 30, 7).bits == 8
    assert QuantizedRows.within(30 * 15 - 1, 30, 7).bits == 4
    with pytest.raises(ValueError, match="QuantizedRows.*240 bytes"):
        QuantizedRows.within(239, 30, 7)


def test_a_change_of_type_is_of_the_vectors_alone():
    table = rows()
    encoder = QuantizedRows.of(table)
    exact = encoder()
    encoder.to(torch.bfloat16)
    assert torch.equal(encoder(), exact.bfloat16())
    assert torch.equal(encoder.float()(), exact)


def test_chunks_do_not_show(monkeypatch):
    table = rows()
    whole = QuantizedRows.of(table, 4)()
    monkeypatch.setattr("kdgraph.ops.straight_through.CHUNK_ELEMENTS", 100)
    assert torch.equal(QuantizedRows.of(table, 4)(), whole)


@pytest.mark.parametrize(
    ("table", "bits", "error", "match"),
    [
        (torch.ones(3, 2, dtype=torch.int64), 8, TypeError, "floating point"),
        (torch.ones(3), 8, ValueError, r"\[N, C\]"),
        (torch.tensor([[1.0], [float("nan")]]), 8, ValueError, "finite"),
        (torch.ones(3, 2), 2, ValueError, "8 or 4"),
        (torch.full((3, 2), 1e6), 4, ValueError, "65504"),
        ([[1.0]], 8, TypeError, "QuantizedRows"),
    ],
)
def test_errors(table, bits, error, match):
    with pytest.raises(error, match=match):
        QuantizedRows.of(table, bits)
