"""Bytes planned of rivals against encoders that are made, and against budgets."""

from __future__ import annotations

import pytest

from kdgraph.data import sbm
from kdgraph.training import Runner, TrainConfig
from kdgraph.training.methods import build_encoder
from kdgraph.training.plan import PlanRow
from kdgraph.training.plan_rivals import Unfit, plan_rival, plan_rivals
from kdgraph.training.rivals import RIVALS


@pytest.mark.parametrize("method", RIVALS)
def test_bytes_are_those_of_the_encoder(method: str) -> None:
    rows = plan_rivals(1000, 32, compression=2.0)
    row = dict(zip(RIVALS, rows, strict=True))[method]
    assert isinstance(row, PlanRow), row
    encoder = build_encoder(row.config, 1000)
    assert row.training_bytes == encoder.training_bytes("adam")
    if RIVALS[method].finish is None:
        assert row.inference_bytes_in_order == encoder.inference_bytes()


@pytest.mark.parametrize(
    "method", [name for name, rival in RIVALS.items() if rival.finish]
)
def test_what_is_kept_of_a_trained_table_is_counted(method: str) -> None:
    assert RIVALS[method].kept is not None
    config = TrainConfig(method=method, dim=16, compression=2.0, epochs=1, hidden_dim=8)
    graph = sbm(num_nodes=300, num_classes=3, seed=0)
    seed = Runner(graph, config).run(1).seeds[0]
    row = plan_rival(config, graph.num_nodes)
    assert isinstance(row, PlanRow)
    assert seed.training_bytes == row.training_bytes
    # Of quantisations of as many bits the most exact is kept, so codebooks may be less.
    assert seed.inference_bytes <= row.inference_bytes
    if method in ("int8", "int4"):
        assert seed.inference_bytes == row.inference_bytes


def test_bytes_by_formula() -> None:
    n, c, most = 1000, 64, 20_000
    rows = {row.method: row for row in plan_rivals(n, c, max_bytes=most)}
    found = rows["lowrank"]
    assert isinstance(found, PlanRow)
    # Rank 4 of 1,064 floats each.
    assert (found.inference_bytes, found.training_bytes) == (17_024, 68_096)
    for name in ("full", "int8", "int4", "pq"):
        row = rows[name]
        assert isinstance(row, PlanRow)
        assert row.training_bytes == 16 * n * c
    sizes = {"full": 4 * n * c, "int8": n * (c + 8), "int4": n * (c // 2 + 4)}
    for name, size in sizes.items():
        row = rows[name]
        assert isinstance(row, PlanRow)
        assert row.inference_bytes == size


def test_those_that_do_not_fit_say_so() -> None:
    rows = {row.method: row for row in plan_rivals(50, 128, max_bytes=300)}
    assert isinstance(rows["full"], PlanRow)
    unfit = rows["lowrank"]
    assert isinstance(unfit, Unfit)
    assert "rank 1 takes 712 bytes" in unfit.reason


def test_counting_takes_no_memory() -> None:
    rows = plan_rivals(10**9, 128)
    assert [row.method for row in rows] == list(RIVALS)
    assert all(isinstance(row, PlanRow) for row in rows), rows


@pytest.mark.parametrize(
    ("num_nodes", "dim", "options", "part"),
    [
        (0, 8, {}, "num_nodes of at least 1"),
        (9, 0, {}, "dim is at least 1"),
        (9, 8, {"compression": 0.0}, "compression is above 0"),
        (9, 8, {"max_bytes": 0}, "max_bytes is at least 1"),
        (2**61, 8, {}, "64 bits"),
    ],
)
def test_bad_input(
    num_nodes: int, dim: int, options: dict[str, float], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        plan_rivals(num_nodes, dim, **options)  # type: ignore[arg-type]
