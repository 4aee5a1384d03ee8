"""Streams of integers: against Python's own, bit by bit."""

import pytest
import torch

from kdgraph.ops.bit_stream import pack_stream, read_stream, stream_bytes


@pytest.mark.parametrize("bits", [1, 3, 7, 8, 9, 13, 17, 27, 33, 40])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 50])
def test_bits_are_those_of_one_large_number(bits: int, count: int) -> None:
    values = torch.randint(1 << bits, (count,))
    values[-1] = (1 << bits) - 1
    stream = pack_stream(values, bits)
    whole = sum(int(value) << (place * bits) for place, value in enumerate(values))
    size = -(-count * bits // 8)
    assert bytes(stream.tolist()) == whole.to_bytes(size, "little")
    assert stream_bytes(count, bits) == size
    index = torch.randint(count, (3, 5))
    assert torch.equal(read_stream(stream, index, bits), values[index])
    assert torch.equal(pack_stream(values.int() if bits < 31 else values, bits), stream)


def test_parts_of_a_long_stream_join(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randint(1 << 11, (1000,))
    whole = pack_stream(values, 11)
    monkeypatch.setattr("kdgraph.ops.bit_stream._CHUNK", 3)
    assert torch.equal(pack_stream(values, 11), whole)
