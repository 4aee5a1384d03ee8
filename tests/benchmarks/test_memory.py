"""The plan, the encoders and what was measured say the same, to the byte."""

import json

import pytest
import torch

from benchmarks.memory import __main__ as command_line
from benchmarks.memory import bounds, figure, page, runs
from benchmarks.memory.formula import held_bytes, kept_bytes, planned
from benchmarks.memory.measure import BATCH, measure
from benchmarks.memory.methods import DIM, METHODS
from kdgraph.training.plan import PlanRow
from kdgraph.training.rivals import RIVALS

RECORDS = [runs.load(path) for path in sorted(runs.RESULTS.glob("*.json"))]
RUNS = [
    pytest.param(record["method"], run, id=f"{record['method']}-{run['num_nodes']}")
    for record in RECORDS
    for run in record["runs"]
    if "phases" in run
]
NODES = 20_000


def phases(task, name):
    """Method, nodes and what was measured, of all phases that ended well."""
    found = []
    for parameter in RUNS:
        method, run = parameter.values
        told = run["phases"].get(name)
        if run["task"] == task and told and told["status"] == "ok":
            found.append(pytest.param(method, run["num_nodes"], told, id=parameter.id))
    return found


def test_every_method_has_bytes_of_its_own():
    """Rivals that are left out take the bytes of one that is there."""
    made = [
        (RIVALS[name].make, RIVALS[name].kept) for name in METHODS if name in RIVALS
    ]
    assert len(set(made)) == len(made)
    assert {(one.make, one.kept) for one in RIVALS.values()} == set(made)


@pytest.mark.parametrize(("method", "nodes", "told"), phases("batch", "keep"))
def test_kept_bytes_are_those_of_the_plan(method, nodes, told):
    assert told["counted_bytes"] == told["inference_bytes"] == kept_bytes(method, nodes)
    low, high = bounds.keep_bounds(told)
    assert low <= bounds.peak(told) <= high


@pytest.mark.parametrize(("method", "nodes", "told"), phases("batch", "make"))
def test_made_bytes_are_there(method, nodes, told):
    assert bounds.peak(told) >= told["counted_bytes"] - bounds.SHORT


@pytest.mark.parametrize(("method", "nodes", "told"), phases("batch", "step"))
def test_held_bytes_are_those_of_the_plan(method, nodes, told):
    row = planned(method, nodes)
    assert isinstance(row, PlanRow)
    assert told["training_bytes"] == row.training_bytes
    assert bounds.counted(told) == held_bytes(method, nodes)
    assert held_bytes(method, nodes) + told["sparse_rows_bytes"] == row.training_bytes
    low, high = bounds.step_bounds(told)
    assert low <= bounds.peak(told) <= high


@pytest.mark.parametrize(("method", "nodes", "told"), phases("full", "step"))
def test_a_step_of_all_nodes_holds_what_the_plan_says(method, nodes, told):
    row = planned(method, nodes)
    assert isinstance(row, PlanRow)
    assert bounds.counted(told) == told["training_bytes"] == row.training_bytes
    assert bounds.peak(told) >= row.training_bytes - bounds.SHORT


def test_what_fits_is_within_the_limit():
    for parameter in RUNS:
        method, run = parameter.values
        for name, told in run["phases"].items():
            if told["status"] == "ok":
                count = held_bytes if name == "step" else kept_bytes
                assert (count(method, run["num_nodes"]) or 0) <= runs.MEMORY
            else:
                assert told["status"] == "out-of-memory"


@pytest.mark.parametrize("method", METHODS)
def test_bytes_of_encoders_are_those_of_the_plan(method):
    row = planned(method, NODES)
    if not isinstance(row, PlanRow):
        assert "does not fit" in row.reason
        assert kept_bytes(method, NODES) is held_bytes(method, NODES) is None
        return
    encoder = METHODS[method].encoder(NODES)
    kept = METHODS[method].kept(NODES)
    stored = kept.stored_tensors().values()
    assert sum(one.numel() * one.element_size() for one in stored) == (
        kept.inference_bytes()
    )
    # An order of its own is no part of an encoder that takes places for ids.
    assert kept.inference_bytes() == row.inference_bytes_in_order
    assert encoder.training_bytes() == row.training_bytes
    assert kept(torch.tensor([3, NODES - 1])).shape == (2, DIM)
    if method not in RIVALS or RIVALS[method].kept is None:
        assert encoder.inference_bytes() == row.inference_bytes_in_order


def test_bytes_by_formula():
    n = 10**9
    assert kept_bytes("full", n) == kept_bytes("full-dense", n) == 4 * n * DIM
    assert held_bytes("full-dense", n) == 16 * n * DIM
    assert held_bytes("full", n) == 12 * n * DIM
    assert held_bytes("int8-training", n) == n * (DIM + 5)
    # Eight bytes of codes, and three codewords of each position; Adam for those, and
    # where each position begins.
    books = 3 * DIM
    assert kept_bytes("kd-fixed", n) == 8 * n + 4 * books
    assert held_bytes("kd-fixed", n) == 8 * n + 16 * books + 8 * 32


def test_a_step_is_counted_tensor_by_tensor():
    """Here, with whatever the machine has: bytes are the same on all."""
    torch.manual_seed(0)
    for method in ("full-dense", "kd-softmax"):
        found = measure(method, 2000, "batch")["phases"]
        assert {told["status"] for told in found.values()} == {"ok"}
        step = found["step"]
        assert bounds.counted(step) == held_bytes(method, 2000)
    # Rows of the batch, ids of 8 bytes and queries of 32 numbers.
    assert step["sparse_gradient_bytes"] <= BATCH * (8 + 4 * 32)
    assert step["sparse_gradient_bytes"] % (8 + 4 * 32) == 0


def test_results_that_are_there_stay(tmp_path, monkeypatch, capsys):
    asked = []

    def run(method, nodes, task, timeout):
        asked.append((method, nodes, task))
        return {"num_nodes": nodes, "task": task, "status": "failed", "reason": "no"}

    monkeypatch.setattr(runs, "_run", run)
    options = ["memory", "--nodes=2m,10k", "--methods", "full", "lowrank"]
    monkeypatch.setattr("sys.argv", [*options, f"--results={tmp_path}"])
    for _ in range(2):
        assert command_line.main() == 0
    # The smallest first, and all nodes in a step only where that may fit.
    tasks = [(10_000, "batch"), (10_000, "full"), (2_000_000, "batch")]
    expected = [
        (method, nodes, task)
        for size in (10_000, 2_000_000)
        for method in ("full", "lowrank")
        for nodes, task in tasks
        if nodes == size
    ]
    assert asked == expected
    assert "full 2,000,000 batch: failed" in capsys.readouterr().out
    kept = json.loads((tmp_path / "full.json").read_text())
    assert [(run["num_nodes"], run["task"]) for run in kept["runs"]] == tasks


@pytest.mark.slow  # a process that imports torch
def test_too_little_memory_is_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MEMORY", 1 << 30)
    runs.run_all([10**6], ["full-dense"], ["batch"], results=tmp_path)
    (found,) = runs.load(tmp_path / "full-dense.json")["runs"]
    assert found["phases"]["keep"]["status"] == "ok"
    assert found["phases"]["step"]["status"] == "out-of-memory"


def test_figure_is_drawn_the_same_twice(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        page.draw(tmp_path / name)
    one = (tmp_path / "one.svg").read_bytes()
    assert one == (tmp_path / "two.svg").read_bytes()
    assert figure.digest().encode() in one
