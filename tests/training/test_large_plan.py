"""The plan of a large graph: in proportion to what was measured."""

from __future__ import annotations

import dataclasses

import pytest

from kdgraph.training.large_plan import Costs, measured_costs, plan_large

COSTS = Costs(
    nodes=1000,
    cores=2,
    prepare_seconds=36.0,
    prepare_bytes=7.0,
    code_seconds=360.0,
    code_bytes=5.0,
    step_seconds=3600.0,
    step_bytes=100.0,
    node_bytes=3.0,
    infer_seconds=1.8,
)


def test_by_hand() -> None:
    """Ten nodes, five edges, so that ten entries; two steps of 2 x (3 + 6) edges."""
    prepare, codes, training, scores = plan_large(
        10,
        5,
        dim=4,
        num_train=4,
        batch_size=2,
        fanout=(3, 2),
        epochs=1,
        machines=(1,),
        costs=COSTS,
    )
    assert prepare.hours == pytest.approx((0.1,))
    assert prepare.disk_bytes == 10 * 4 + 11 * 8 + 10 * 8
    assert prepare.memory_bytes == 7
    assert codes.hours == pytest.approx((1.0,))
    assert (codes.disk_bytes, codes.memory_bytes) == (160, 50)
    # All scores: two layers of ten entries. In training those of 4 of 10 nodes.
    assert scores.hours == pytest.approx((0.01,))
    assert training.hours == pytest.approx((2 * 18 + 0.004,))
    assert training.memory_bytes == 130
    assert scores.memory_bytes == 130 + 4 * 10 * 4


def test_machines_share_steps_and_pay_for_what_they_exchange() -> None:
    alone, four = (
        plan_large(10**6, 10**7, machines=(count,), costs=COSTS) for count in (1, 4)
    )
    for one, other in zip(alone[:2], four[:2], strict=True):
        assert one == other
    for one, other in zip(alone[2:], four[2:], strict=True):
        assert other.hours[0] > one.hours[0] / 4
        assert other.hours[0] == pytest.approx(one.hours[0] / 4, rel=1e-3)


def test_costs_of_the_package_are_positive() -> None:
    costs = measured_costs()
    assert all(value > 0 for value in dataclasses.astuple(costs))
