"""Rounding: exact values by hand, a projection in every type, gradients untouched."""

import struct

import pytest
import torch

from kdgraph.ops import Stored, as_stored, restore, store

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
SIZES = (3, 1, 4)


def weights(dtype, std=0.3):
    """Rows of three groups, the second all zero."""
    drawn = torch.randn(8, 5, dtype=torch.float64) * std
    drawn[3] = 0.0
    return drawn.to(dtype)


def nearest_bfloat16(value):
    """The 16 leading bits of a float32, rounded to the nearest, ties to even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    bits += 0x7FFF + (bits >> 16 & 1)
    return struct.unpack("<f", struct.pack("<I", bits >> 16 << 16))[0]


def test_int8_by_hand():
    weight = torch.tensor([[127.0, -63.5], [0.4, 62.5], [0.0, -0.0], [2.54, -0.03]])
    values, scale = store(weight, "int8", (2, 1, 1))
    # Halves go to the even neighbour; 2.54 / 127 is 0.02, in bfloat16 0.02001953125.
    assert values.tolist() == [[127, -64], [0, 62], [0, 0], [127, -1]]
    assert scale.tolist() == [1.0, 2.0**-126, 0.02001953125]
    assert (values.dtype, scale.dtype) == (torch.int8, torch.bfloat16)
    back = restore(Stored(values, scale), (2, 1, 1), torch.float32)
    assert back.tolist() == [
        [127.0, -64.0],
        [0.0, 62.0],
        [0.0, 0.0],
        [127 * 0.02001953125, -0.02001953125],
    ]


def test_bfloat16_is_nearest_even():
    weight = torch.randn(8, 5)
    weight[0, 0], weight[0, 1] = 1 + 2.0**-8, 1 + 3 * 2.0**-8  # ties
    values, scale = store(weight, "bfloat16", SIZES)
    assert scale is None
    assert values.dtype == torch.bfloat16
    expected = [[nearest_bfloat16(value) for value in row] for row in weight.tolist()]
    assert values.tolist() == expected
    assert values[0, :2].tolist() == [1.0, 1 + 2.0**-6]


def test_as_trained_is_itself():
    weight = weights(torch.float32)
    assert store(weight, None, SIZES).values is weight
    assert as_stored(weight, None, SIZES) is weight


def test_vectors_have_no_scale():
    bias = torch.randn(7)
    assert store(bias, "int8", (7,)).scale is None
    assert torch.equal(store(bias, "int8", (7,)).values, bias.bfloat16())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
@pytest.mark.parametrize("std", [1e-3, 0.3, 50.0])
def test_rounding_twice_is_rounding_once(dtype, storage, std):
    for _ in range(50):
        first = store(weights(dtype, std), storage, SIZES)
        numbers = restore(first, SIZES, dtype)
        again = store(numbers, storage, SIZES)
        assert torch.equal(again.values, first.values)
        if storage == "int8":
            assert torch.equal(again.scale, first.scale)
        assert torch.equal(restore(again, SIZES, dtype), numbers)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
@pytest.mark.parametrize("peak", [1e-45, 1e-39, 1e-37, 1e30, 3e38])
def test_extreme_weights_stay_what_they_are(storage, peak):
    weight = torch.tensor([[peak, -peak / 3, 0.0]])
    numbers = as_stored(weight, storage, (1,))
    assert torch.equal(as_stored(numbers, storage, (1,)), numbers)
    assert torch.isfinite(numbers).all()
    assert ((numbers - weight).abs() <= max(peak / 127, 2.0**-126)).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_error_is_at_most_half_a_step(dtype):
    weight = weights(dtype)
    numbers = as_stored(weight, "int8", SIZES)
    assert numbers.dtype == dtype
    # The power of two that half precision needs may be twice the scale.
    widest = 1 if dtype.itemsize >= 4 else 2
    for rows, kept in zip(weight.split(SIZES), numbers.split(SIZES), strict=True):
        step = rows.double().abs().max() / 127 * widest * (1 + 2.0**-8)
        assert ((rows.double() - kept.double()).abs() <= step / 2 + 1e-12).all()


@pytest.mark.parametrize("dtype", DTYPES[2:], ids=str)
def test_half_precision_has_powers_of_two(dtype):
    for std in (1e-2, 0.3, 7.0):
        mantissa, _ = torch.frexp(store(weights(dtype, std), "int8", SIZES).scale)
        assert (mantissa.float() == 0.5).all()


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_gradient_is_that_of_the_weight(storage):
    weight = weights(torch.float32).requires_grad_()
    factor = torch.randn(8, 5)
    (as_stored(weight, storage, SIZES) * factor).sum().backward()
    assert torch.equal(weight.grad, factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_shapes_alone_suffice(dtype):
    weight = torch.empty(8, 5, dtype=dtype, device="meta")
    values, scale = store(weight, "int8", SIZES)
    assert (values.shape, scale.shape) == ((8, 5), (3,))


@pytest.mark.parametrize("std", [1e-40, 0.3, 1e30])
def test_rounding_in_one_pass_is_storing_and_reading_back(std):
    weight = weights(torch.float32) * std
    kept = restore(store(weight, "int8", SIZES), SIZES, torch.float32)
    assert torch.equal(as_stored(weight, "int8", SIZES), kept)
    weight[0, 0] = float("nan")
    assert as_stored(weight, "int8", SIZES)[:3].isnan().all()


def test_compiled_rounding_is_that_of_a_cast():
    """Bit by bit: ties, both signs, subnormals, what overflows, and no numbers."""
    bits = torch.randint(-(1 << 31), (1 << 31) - 1, (20_000,)).to(torch.int32)
    ties = (bits & -0x10000) | 0x8000
    special = torch.tensor([0.0, -0.0, 1e-40, 3.4e38, torch.inf, -torch.inf, torch.nan])
    x = torch.cat([bits.view(torch.float32), ties.view(torch.float32), special])

    @torch.compile(backend="eager", fullgraph=True)
    def rounded(x):
        return store(x, "bfloat16", [len(x)]).values

    assert torch.equal(x.bfloat16().isnan(), rounded(x).isnan())
    known = ~x.isnan()
    found, expected = (y[known].view(torch.int16) for y in (rounded(x), x.bfloat16()))
    assert torch.equal(found, expected)
