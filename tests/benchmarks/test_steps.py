"""The benchmark of steps: a small run, and a page that says what its result says."""

import json

import pytest

from benchmarks.steps import __main__ as command_line
from benchmarks.steps import page
from benchmarks.steps.shapes import SHAPES


def test_a_small_run(tmp_path, monkeypatch, capsys):
    config = {"num_nodes": 500, "dim": 128, "batch_sizes": [64], "seconds": 0}
    (tmp_path / "config.json").write_text(json.dumps(config | {"threads": 1}))
    output = tmp_path / "results" / "steps.json"
    arguments = ["steps", str(tmp_path / "config.json"), "-o", str(output)]
    monkeypatch.setattr("sys.argv", arguments)
    assert command_line.main() == 0
    assert capsys.readouterr().out.strip() == str(output)
    found = json.loads(output.read_text())
    times = found["milliseconds"]["64"]
    assert list(times) == list(SHAPES)
    assert all(took > 0 for kinds in times.values() for took in kinds.values())
    assert all(shape.label in page.page(found) for shape in SHAPES.values())


@pytest.mark.parametrize(("took", "met"), [(14.9, "yes"), (15.1, "no")])
def test_goals_of_steps(took, met):
    times = {name: {"step": 10.0, "evaluation": 1.0} for name in SHAPES}
    times["learned"]["step"] = took
    row = next(
        line for line in page._steps({"16384": times}).split("\n") if "1.5" in line
    )
    assert row.endswith(f"| 1.5 | {met} |")


@pytest.mark.parametrize(
    ("size", "took", "met"),
    [
        ("1024", 1.19, "yes"),
        ("1024", 1.3, "no"),
        ("16384", 1.9, "yes"),
        ("16384", 2.1, "no"),
    ],
)
def test_goals_of_look_ups(size, took, met):
    times = {name: {"step": 10.0, "evaluation": 1.0} for name in SHAPES}
    times["fixed"]["evaluation"] = took
    assert page._look_ups({size: times}).split("\n")[-1].endswith(f"| {met} |")


def test_the_page_is_up_to_date():
    for path, text in page.texts().items():
        assert path.read_text() == text
