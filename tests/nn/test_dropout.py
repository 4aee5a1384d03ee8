"""Dropout against what it is by definition, and against torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from kdgraph.nn import Dropout

COUNT = 1_000_003


@pytest.mark.parametrize("p", [0.5, 0.25, 0.3, 0.001, 0.9])
def test_as_many_are_dropped_as_asked_and_the_mean_stays(p: float) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(COUNT))
    deviation = math.sqrt(p * (1 - p) / COUNT)
    # The rounding of p to a multiple of 1/65536 comes on top.
    assert (y == 0).double().mean().item() == pytest.approx(
        p, abs=5 * deviation + 2**-17
    )
    assert y.double().mean().item() == pytest.approx(1, abs=5 * deviation / (1 - p))
    kept = y[y != 0]
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(COUNT)) == 0
    for lag in (1, 2, 3, 4, 7, 8, 9, 16, 64):
        agree = (dropped[lag:] == dropped[:-lag]).double().mean().item()
        assert agree == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(COUNT))


@pytest.mark.parametrize("p", [0.5, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_gradient_is_dropped_and_scaled_alike(p: float, dtype: torch.dtype) -> None:
    x = torch.randn(37, 5, dtype=dtype, requires_grad=True)
    y = Dropout(p)(x)
    assert y.dtype == dtype
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    torch.testing.assert_close(grad * x, y)


def test_a_seed_repeats_it_and_the_next_draw_differs() -> None:
    x, dropout = torch.ones(100, 7), Dropout(0.3)
    torch.manual_seed(5)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(5)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all(p: float) -> None:
    x = torch.randn(6, 3)
    assert torch.equal(Dropout(p)(x), functional.dropout(x, p, training=True))


def test_evaluation_changes_nothing() -> None:
    x = torch.randn(6, 3)
    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,)])
def test_few_elements_or_none(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("p", [1e-9, 1 - 1e-9])
def test_next_to_none_and_all_stays_finite(p: float) -> None:
    assert Dropout(p)(torch.ones(1000)).isfinite().all()


def test_in_place_is_torchs() -> None:
    x = torch.ones(1000)
    assert Dropout(0.5, inplace=True)(x) is x
    assert 0 < int((x == 0).sum()) < 1000


def test_p_out_of_range() -> None:
    with pytest.raises(ValueError, match="dropout probability"):
        Dropout(1.5)


def test_compiled_without_breaks() -> None:
    dropout = torch.compile(Dropout(0.5), fullgraph=True, backend="eager")
    assert set(dropout(torch.ones(100)).unique().tolist()) == {0.0, 2.0}


def test_functional_gradients_are_those_of_autograd() -> None:
    x, dropout = torch.randn(50), Dropout(0.5)
    torch.manual_seed(2)
    found = torch.func.grad(lambda v: dropout(v).square().sum())(x)
    torch.manual_seed(2)
    factor = dropout(torch.ones(50))
    torch.testing.assert_close(found, 2 * factor.square() * x)


def test_what_torch_refuses_is_refused() -> None:
    for x in (torch.ones(4, dtype=torch.complex64), torch.eye(4).to_sparse()):
        try:
            functional.dropout(x, 0.5)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                Dropout(0.5)(x)
        else:
            Dropout(0.5)(x)


class TestByNode:
    """Given the nodes of the rows, what a row loses is a matter of its node."""

    @pytest.mark.parametrize("p", [0.5, 0.25, 0.3, 0.001, 0.9])
    def test_as_many_are_dropped_as_asked_and_the_mean_stays(self, p: float) -> None:
        torch.manual_seed(0)
        n_id = torch.arange(20_000)
        y = Dropout(p)(torch.ones(n_id.numel(), 50), n_id)
        deviation = math.sqrt(p * (1 - p) / y.numel())
        assert (y == 0).double().mean().item() == pytest.approx(
            p, abs=5 * deviation + 2**-17
        )
        assert y.double().mean().item() == pytest.approx(1, abs=5 * deviation / (1 - p))
        kept = y[y != 0]
        assert kept.unique().numel() == 1
        assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)

    @pytest.mark.parametrize("p", [0.5, 0.3])
    def test_a_node_loses_the_same_in_any_batch(self, p: float) -> None:
        n_id = torch.randperm(200)
        x, dropout = torch.randn(200, 13), Dropout(p)

        def dropped(part: torch.Tensor) -> torch.Tensor:
            torch.manual_seed(7)
            return dropout(x[part], part)

        whole = dropped(n_id)
        parts = torch.cat([dropped(part) for part in n_id.split(33)])
        assert torch.equal(parts, whole)
        # The next number of the generator drops others, and so does each node.
        following = dropout(x[n_id], n_id)
        assert not torch.equal(following == 0, whole == 0)
        assert (whole == 0).unique(dim=0).size(0) > 150

    @pytest.mark.parametrize("p", [0.5, 0.3])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_the_gradient_is_dropped_and_scaled_alike(
        self, p: float, dtype: torch.dtype
    ) -> None:
        x = torch.randn(37, 5, dtype=dtype, requires_grad=True)
        y = Dropout(p)(x, torch.arange(37))
        assert y.dtype == dtype
        assert 0 < int((y == 0).sum()) < y.numel()
        (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
        torch.testing.assert_close(grad * x, y)

    @pytest.mark.parametrize("p", [0.0, 1.0])
    def test_none_and_all(self, p: float) -> None:
        x = torch.randn(6, 3)
        found = Dropout(p)(x, torch.arange(6))
        assert torch.equal(found, functional.dropout(x, p, training=True))

    def test_evaluation_changes_nothing(self) -> None:
        x = torch.randn(6, 3)
        assert Dropout(0.5).eval()(x, torch.arange(6)) is x

    @pytest.mark.parametrize("p", [1e-9, 1 - 1e-9])
    def test_next_to_none_and_all_stays_finite(self, p: float) -> None:
        assert Dropout(p)(torch.ones(100, 9), torch.arange(100)).isfinite().all()

    @pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
    def test_no_row_or_no_column(self, shape: tuple[int, int]) -> None:
        n_id = torch.arange(shape[0])
        for p in (0.5, 0.3):
            assert Dropout(p)(torch.ones(shape), n_id).shape == shape
