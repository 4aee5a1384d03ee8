"""Dropping positions of codes: how often, how much, and by which node."""

from __future__ import annotations

import math

import pytest
import torch

from kdgraph.ops import Codebooks, Selection

NODES, POSITIONS = 5000, 6


def codes() -> Selection:
    generator = torch.Generator().manual_seed(1)
    return Selection(torch.randint(3, (NODES, POSITIONS), generator=generator))


@pytest.mark.parametrize("by_node", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_and_the_mean_stays(
    p: float, by_node: bool
) -> None:
    torch.manual_seed(0)
    n_id = torch.arange(NODES) if by_node else None
    dropped = codes().drop(p, n_id)
    scale = dropped.scale
    assert scale is not None
    deviation = math.sqrt(p * (1 - p) / scale.numel())
    share = (scale == 0).double().mean().item()
    assert share == pytest.approx(p, abs=5 * deviation)
    assert scale.double().mean().item() == pytest.approx(
        1, abs=5 * deviation / (1 - p) + 1e-6
    )
    assert scale.unique().numel() == (1 if p == 0 else 2)
    assert dropped.dropped == p
    # Neighbours in a row and in a column go independently.
    for one, other in ((scale[1:], scale[:-1]), (scale[:, 1:], scale[:, :-1])):
        together = ((one == 0) & (other == 0)).double().mean().item()
        assert together == pytest.approx(p * p, abs=0.01 if p > 0 else 0)


def test_a_node_loses_the_same_in_any_batch() -> None:
    n_id, all_codes = torch.randperm(NODES)[:300], codes().codes

    def scale(part: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(4)
        found = Selection(all_codes[part]).drop(0.4, part).scale
        assert found is not None
        return found

    whole = scale(n_id)
    assert torch.equal(torch.cat([scale(part) for part in n_id.split(41)]), whole)
    assert not torch.equal(Selection(all_codes[n_id]).drop(0.4, n_id).scale, whole)
    torch.manual_seed(5)
    other = Selection(all_codes[n_id]).drop(0.4, n_id).scale
    assert not torch.equal(other, whole)


@pytest.mark.parametrize("by_node", [False, True])
def test_sums_and_gradients_are_of_what_is_left(by_node: bool) -> None:
    selection, n_id = codes(), torch.arange(NODES) if by_node else None
    weight = torch.randn(3 * POSITIONS, 4, dtype=torch.float64, requires_grad=True)
    offsets = torch.arange(0, 3 * POSITIONS, 3)
    books = Codebooks(weight, offsets, (3,) * POSITIONS)
    dropped = selection.drop(0.5, n_id)
    assert dropped.scale is not None
    rows = weight[selection.codes + offsets]
    expected = (rows * dropped.scale.double().unsqueeze(-1)).sum(1)
    pull = torch.randn(NODES, 4, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((expected * pull).sum(), weight)
    for found in (dropped.sum(books), dropped.gather(books).sum(1)):
        torch.testing.assert_close(found, expected)
        (grad,) = torch.autograd.grad((found * pull).sum(), weight)
        torch.testing.assert_close(grad, wanted)


def test_no_node() -> None:
    none = Selection(torch.empty(0, POSITIONS, dtype=torch.int64))
    dropped = none.drop(0.5, torch.empty(0, dtype=torch.int64))
    assert dropped.scale is not None
    assert dropped.scale.shape == (0, POSITIONS)
