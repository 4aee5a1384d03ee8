"""Coordinate descent on codes, against enumeration and a naive loop."""

import itertools
import math

import pytest
import torch

from kdgraph.codes.refine import refine_codes, trust_region_target
from kdgraph.ops import straight_through

SIZES = (3, 7, 2, 5)


def problem(sizes=SIZES, rows=50, dim=6, dtype=torch.float64, seed=0):
    """Random codes, basis and target."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack(
        [torch.randint(size, (rows,), generator=generator) for size in sizes], dim=1
    )
    basis = torch.randn(sum(sizes), dim, generator=generator, dtype=dtype)
    return codes, basis, torch.randn(rows, dim, generator=generator, dtype=dtype)


def compose(codes, basis, sizes=SIZES):
    return sum(
        block[codes[..., position]]
        for position, block in enumerate(basis.split(list(sizes)))
    )


def errors(codes, basis, target, sizes=SIZES):
    return (compose(codes, basis, sizes) - target).square().sum(dim=-1)


def by_loop(codes, basis, target, sizes, movable):
    """One node, one position and one choice at a time."""
    codes = codes.clone()
    for row, position in itertools.product(range(len(codes)), range(len(sizes))):
        if not movable[row, position]:
            continue
        tried = codes[row].repeat(sizes[position], 1)
        tried[:, position] = torch.arange(sizes[position])
        best = errors(tried, basis, target[row], sizes).argmin()
        codes[row, position] = best
    return codes


def concat_basis(sizes, width):
    """Codewords side by side: each position has columns of its own."""
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(size, width, generator=generator).double() for size in sizes]
    return torch.block_diag(*parts)


@pytest.mark.parametrize("masked", ["all", "rows", "positions"])
@pytest.mark.parametrize("small_chunks", [False, True])
def test_it_is_the_naive_loop(masked, small_chunks, monkeypatch):
    if small_chunks:
        monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", 40)
    codes, basis, target = problem()
    movable = {
        "all": torch.ones(50, 4, dtype=torch.bool),
        "rows": torch.rand(50, 4) < 0.5,
        "positions": torch.tensor([True, False, False, True]).expand(50, 4),
    }[masked]
    found = refine_codes(
        codes, basis, target, SIZES, movable=None if masked == "all" else movable
    )
    assert torch.equal(found, by_loop(codes, basis, target, SIZES, movable))
    assert not torch.equal(found, codes)
    assert torch.equal(found[~movable], codes[~movable])


def test_one_mask_for_all_rows():
    codes, basis, target = problem()
    mask = torch.tensor([False, True, True, False])
    assert torch.equal(
        refine_codes(codes, basis, target, SIZES, movable=mask),
        refine_codes(codes, basis, target, SIZES, movable=mask.expand(50, 4)),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_error_never_grows(dtype):
    codes, basis, target = problem(rows=400, dtype=torch.float64)
    basis, target = basis.to(dtype), target.to(dtype)
    exact = (basis.double(), target.double())
    slack = 1e-9 if dtype == torch.float64 else 1e-4
    before = errors(codes, *exact)
    for sweeps in (1, 2, 5, 9):
        after = errors(
            refine_codes(codes, basis, target, SIZES, num_sweeps=sweeps), *exact
        )
        assert (after <= before + slack).all()
        assert after.sum() <= before.sum()
        before = after
    fixed = refine_codes(codes, basis, target, SIZES, num_sweeps=50)
    assert torch.equal(refine_codes(fixed, basis, target, SIZES), fixed)


def test_one_position_takes_the_nearest_codeword():
    codes, basis, target = problem((9,))
    nearest = torch.cdist(target, basis).argmin(dim=1)
    assert torch.equal(refine_codes(codes, basis, target, (9,))[:, 0], nearest)


@pytest.mark.parametrize("width", [1, 3])
def test_side_by_side_one_sweep_is_the_best_of_all(width):
    sizes = (3, 2, 4)
    basis = concat_basis(sizes, width)
    codes, _, target = problem(sizes, rows=30, dim=3 * width)
    every = torch.tensor(list(itertools.product(*map(range, sizes))))
    best = torch.stack([errors(every, basis, row, sizes).argmin() for row in target])
    found = refine_codes(codes, basis, target, sizes)
    assert torch.equal(found, every[best])


def test_a_target_that_can_be_met_at_the_last_position_is_met():
    codes, basis, _ = problem()
    wanted = codes.clone()
    wanted[:, 3] = (wanted[:, 3] + 1) % 5
    mask = torch.tensor([False, False, False, True])
    target = compose(wanted, basis)
    assert torch.equal(refine_codes(codes, basis, target, SIZES, movable=mask), wanted)


def test_a_code_that_is_as_good_stays():
    codes = torch.tensor([[2], [1]])
    basis = torch.tensor([[0.0], [1.0], [1.0]])
    found = refine_codes(codes, basis, torch.ones(2, 1), (3,))
    assert torch.equal(found, codes)


def test_a_codeword_of_zero_is_a_choice_like_any():
    basis = torch.tensor([[0.0, 0.0], [4.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    target = torch.tensor([[0.1, 0.1], [1.1, 0.0], [4.0, 3.9]])
    found = refine_codes(torch.ones(3, 2).long(), basis, target, (2, 2))
    assert found.tolist() == [[0, 0], [0, 1], [1, 0]]
    silent = refine_codes(found, torch.zeros(4, 2), target, (2, 2))
    assert torch.equal(silent, found)


def test_rows_do_not_know_each_other():
    codes, basis, target = problem()
    order = torch.randperm(50)
    found = refine_codes(codes, basis, target, SIZES)
    assert torch.equal(
        refine_codes(codes[order], basis, target[order], SIZES), found[order]
    )


def test_inputs_stay_and_need_no_gradient():
    codes, basis, target = problem()
    kept = codes.clone()
    basis.requires_grad_()
    found = refine_codes(codes, basis, target, SIZES)
    assert torch.equal(codes, kept)
    assert not torch.equal(found, kept)
    narrow = refine_codes(codes.to(torch.int16), basis, target, SIZES)
    assert torch.equal(narrow, found)


def test_no_rows():
    codes, basis, target = problem(rows=0)
    assert refine_codes(codes, basis, target, SIZES).tolist() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"codes": torch.zeros(50, 3).long()}, r"codes \[B, 4\].*\(50, 3\)"),
        ({"basis": torch.zeros(16, 6)}, r"basis \[17, C\].*\(16, 6\)"),
        ({"target": torch.zeros(50, 5)}, r"target \[50, 6\].*\(50, 5\)"),
        ({"target": torch.zeros(49, 6)}, r"target \[50, 6\].*\(49, 6\)"),
        ({"num_sweeps": 0}, "num_sweeps of at least 1, got 0"),
    ],
)
def test_refused(change, says):
    codes, basis, target = problem()
    given = {"codes": codes, "basis": basis, "target": target, **change}
    with pytest.raises(ValueError, match=f"refine_codes expects .*{says}"):
        refine_codes(**given, codebook_sizes=SIZES)


# --- the target -----------------------------------------------------------------------


def test_a_target_row_by_hand():
    vector, gradient = [3.0, -1.0, 2.0], [0.5, 0.0, -2.0]
    target = trust_region_target(
        torch.tensor([vector]).double(), torch.tensor([gradient]).double(), 0.7
    )
    length = math.sqrt(14 / 3) / math.sqrt(4.25 / 3)
    by_hand = [e - 0.7 * length * g for e, g in zip(vector, gradient, strict=True)]
    assert target[0].tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1.0, 1e30])
def test_only_the_direction_of_a_gradient_counts(scale):
    vectors, gradients = torch.randn(5, 8), torch.randn(5, 8)
    gradients[:, 0] = 1.0
    target = trust_region_target(vectors, gradients, 1.0)
    scaled = trust_region_target(vectors, gradients * scale, 1.0)
    # Below 1e-38 floats have few digits.
    torch.testing.assert_close(
        scaled, target, atol=1e-2 if scale < 1e-38 else 1e-5, rtol=0
    )


def test_the_step_is_as_long_as_said():
    vectors, gradients = torch.randn(9, 8), torch.randn(9, 8)
    vectors[0] = 0.0
    moved = trust_region_target(vectors, gradients, 0.5, floor=0.25) - vectors
    expected = 0.5 * vectors.square().mean(dim=1).sqrt().clamp(min=0.25)
    torch.testing.assert_close(moved.square().mean(dim=1).sqrt(), expected)
    assert ((moved * gradients).sum(dim=1) < 0).all()


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_gradient_that_says_nothing_moves_nothing(bad):
    vectors, gradients = torch.randn(3, 4), torch.randn(3, 4)
    gradients[1] = bad
    target = trust_region_target(vectors, gradients, 1.0)
    assert torch.equal(target[1], vectors[1])
    assert not (target[[0, 2]] == vectors[[0, 2]]).any()
