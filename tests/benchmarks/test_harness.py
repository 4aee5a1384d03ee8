"""The harness: configurations, records, resumption, and what is refused."""

import json
import math

import pytest

from benchmarks import __main__ as command_line
from benchmarks.harness import report, worker
from benchmarks.harness.coverage import missing, not_run, unnamed
from benchmarks.harness.experiment import BENCHMARKS, load_experiments
from benchmarks.harness.run import Options, run_all, validate
from benchmarks.harness.summary import interval, percent, table
from benchmarks.harness.tasks import TASKS

ALL = [
    experiment
    for folder in sorted(BENCHMARKS.glob("*/configs"))
    for experiment in load_experiments(folder)
]


def write(path, **said):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))
    return path


@pytest.fixture
def tiny(tmp_path):
    """A suite of one configuration that trains in a moment."""
    root = tmp_path / "configs"
    write(root / "default.json", task="node_classification", options={"dim": 8})
    write(root / "quick" / "default.json", datasets=["sbm"], seeds=2)
    return write(
        root / "quick" / "full.json",
        label="full table",
        options={"method": "full", "epochs": 2, "hidden-dim": 4},
        trials=[{"lr": 0.01}, {"lr": 0.1}],
    )


# --- the configurations of this project -----------------------------------------------


@pytest.mark.parametrize("experiment", ALL, ids=lambda one: f"{one.suite}/{one.name}")
def test_configuration_is_valid(experiment):
    for dataset in experiment.datasets:
        validate(experiment, dataset)
        assert experiment.seeds_on(dataset) >= 1


def test_results_belong_to_configurations_and_are_of_them():
    known = {
        one.result_path(dataset): one.resolved(dataset)
        for one in ALL
        for dataset in one.datasets
    }
    found = [
        path
        for folder in BENCHMARKS.glob("*/configs")
        for path in (folder.parent / "results").rglob("*.json")
    ]
    assert found
    for path in found:
        assert json.loads(path.read_text())["config"] == known[path], path


def test_all_methods_of_a_suite_are_tuned_alike():
    rivals = [one for one in ALL if one.suite == "rivals"]
    for dataset in {name for one in rivals for name in one.datasets}:
        here = [one for one in rivals if dataset in one.datasets]
        assert len({json.dumps(one.trials_on(dataset)) for one in here}) == 1
        assert len({one.seeds_on(dataset) for one in here}) == 1


def test_labels_and_places_are_told_apart():
    for suite in {(one.task, one.suite) for one in ALL}:
        here = [one for one in ALL if (one.task, one.suite) == suite]
        for key in ("label", "order"):
            assert len({getattr(one, key) for one in here}) == len(here), (suite, key)


def test_tables_and_figures_show_the_results():
    assert report.stale() == []


def test_every_configured_run_has_a_result_or_is_named_as_not_run():
    assert report.unaccounted() == []


def test_runs_without_a_result_are_found(tiny):
    (one,) = load_experiments(tiny)
    unrun = [(one, dataset) for dataset in one.datasets]
    section = not_run([one])
    assert missing([one]) == unrun
    assert unnamed([one], [section]) == []
    assert unnamed([one], [section.replace(one.label, "another")]) == unrun
    assert unnamed([one], []) == unrun


def test_tasks_are_packages_with_configurations():
    assert {one.task for one in ALL} <= set(TASKS)


# --- configurations -------------------------------------------------------------------


def test_file_is_merged_into_the_defaults_above(tiny):
    (experiment,) = load_experiments(tiny.parent)
    assert (experiment.suite, experiment.name) == ("quick", "full")
    assert experiment.options == {
        "dim": 8,
        "method": "full",
        "epochs": 2,
        "hidden-dim": 4,
    }
    assert experiment.seeds_on("sbm") == 2
    assert experiment.trials_on("sbm") == [{"lr": 0.01}, {"lr": 0.1}]
    assert experiment.result_path("sbm") == (
        tiny.parents[2] / "results" / "quick" / "sbm" / "full.json"
    )
    assert load_experiments(tiny, tiny.parent) == [experiment]
    assert load_experiments(tiny.with_suffix("")) == [experiment]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"label": "x", "colour": "red"}, "says colour, but an experiment knows only"),
        ({"options": {}}, "do not say label"),
        ([1], "holds no object, but list"),
        ({"label": ""}, "label is a text, got ''"),
        ({"label": "x", "datasets": "cora"}, "datasets is a list of one name or more"),
        ({"label": "x", "datasets": []}, "datasets is a list of one name or more"),
        ({"label": "x", "seeds": 0}, "seeds is a number of at least 1.*'default': 0"),
        ({"label": "x", "seeds": {"cora": True}}, "seeds is a number of at least 1"),
        ({"label": "x", "trials": []}, "trials is a list of one object of options"),
        ({"label": "x", "trials": [1]}, "trials is a list of one object of options"),
        ({"label": "x", "options": 3}, "options is an object, got 3"),
        ({"label": "x", "threads": 0.5}, "threads is a number of at least 1, got 0.5"),
    ],
)
def test_bad_configuration(tiny, said, message):
    tiny.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=message):
        load_experiments(tiny)


def test_missing_and_broken_configuration(tiny):
    with pytest.raises(ValueError, match=r"nowhere does not exist; name a file"):
        load_experiments(tiny.with_name("nowhere"))
    tiny.write_text("{")
    with pytest.raises(ValueError, match="full.json is no readable JSON"):
        load_experiments(tiny)
    tiny.unlink()
    with pytest.raises(ValueError, match="holds no configuration"):
        load_experiments(tiny.parent)


def test_file_outside_of_a_benchmark_needs_an_output(tmp_path):
    path = write(
        tmp_path / "mine.json",
        task="node_classification",
        label="mine",
        datasets=["sbm"],
    )
    (experiment,) = load_experiments(path)
    with pytest.raises(ValueError, match="name one with --output"):
        experiment.result_path("sbm")
    assert experiment.result_path("sbm", tmp_path) == tmp_path / "sbm" / "mine.json"


# --- runs -----------------------------------------------------------------------------


def test_run_resumes_and_refuses_another_configuration(tiny, capsys):
    experiments = load_experiments(tiny)
    assert run_all(experiments, Options()) == 0
    path = experiments[0].result_path("sbm")
    record = json.loads(path.read_text())
    assert record["status"] == "ok"
    assert record["config"] == experiments[0].resolved("sbm")
    assert [one["options"] for one in record["tried"]] == [{"lr": 0.01}, {"lr": 0.1}]
    best = max(record["tried"], key=lambda one: one["valid_score"])
    assert record["chosen"]["lr"] == best["options"]["lr"]
    assert record["result"]["config"]["lr"] == best["options"]["lr"]
    assert len(record["result"]["test_score"]["seeds"]) == 2
    assert record["result"]["peak_rss_bytes"] > 0
    assert {"machine", "versions", "git", "seconds"} <= record.keys()
    before = path.read_bytes()
    assert run_all(experiments, Options()) == 0
    assert path.read_bytes() == before
    assert "1 runs, 1 with a result" in capsys.readouterr().out
    write(tiny, label="full table", options={"method": "full", "epochs": 3})
    with pytest.raises(ValueError, match="is the result of another configuration"):
        run_all(load_experiments(tiny), Options())
    assert path.read_bytes() == before


def test_run_that_needs_too_much_memory_is_a_result(tiny, capsys):
    options = {"method": "full", "dim": 1 << 14, "epochs": 1}
    write(tiny, label="too wide", options=options, trials=[{}])
    experiments = load_experiments(tiny)
    assert run_all(experiments, Options(memory=1 << 30)) == 1
    record = experiments[0].record("sbm")
    assert record["status"] == "out-of-memory"
    assert experiments[0].result("sbm") is None
    assert "out-of-memory" in capsys.readouterr().out


def test_nothing_runs_where_one_configuration_is_bad(tiny):
    write(tiny.with_name("bad.json"), label="bad", options={"method": "nothing"})
    with pytest.raises(ValueError, match=r"bad.json: argument --method: invalid"):
        run_all(load_experiments(tiny.parent), Options())
    assert not (tiny.parents[2] / "results").exists()
    with pytest.raises(ValueError, match="no experiment runs on cora: they run on sbm"):
        run_all(load_experiments(tiny), Options(datasets=["cora"]))
    with pytest.raises(ValueError, match="--output expects a folder, got the file"):
        run_all(load_experiments(tiny), Options(output=tiny))


def test_first_of_equal_trials_is_taken(monkeypatch):
    seen = []

    class Task:
        def run(self, options, dataset, seeds, root):
            seen.append((options, seeds))
            score = {"mean": 0.5, "std": 0.0, "seeds": [0.5] * seeds}
            return {"valid_score": score, "test_score": score}

    monkeypatch.setattr(worker, "task_of", lambda name: Task())
    config = {
        "task": "any",
        "dataset": "x",
        "options": {"a": 1},
        "trials": [{"b": 1}, {"b": 2}],
        "seeds": 3,
    }
    found = worker.train(config, None)
    assert found["chosen"] == {"a": 1, "b": 1}
    assert seen == [
        ({"a": 1, "b": 1}, 1),
        ({"a": 1, "b": 2}, 1),
        ({"a": 1, "b": 1}, 3),
    ]


# --- the command ----------------------------------------------------------------------


def test_mistakes_on_the_command_line_are_sentences(tiny, monkeypatch, capsys):
    for arguments in (["nowhere"], [str(tiny), "--jobs", "0"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", "run", *arguments])
        assert command_line.main() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("benchmarks: error: ")


def test_check_names_what_is_stale(tmp_path, monkeypatch, capsys):
    class Page:
        def texts(self):
            return {report.ROOT / "README.md": "not this"}

        def figures(self):
            return {report.ROOT / "docs" / "none.svg": "digest"}

    monkeypatch.setattr(report, "_pages", lambda: [Page()])
    monkeypatch.setattr("sys.argv", ["benchmarks", "report", "--check"])
    assert command_line.main() == 1
    said = capsys.readouterr().out
    assert "README.md does not show" in said
    assert "none.svg does not show" in said


# --- numbers --------------------------------------------------------------------------


def test_interval_is_student_s():
    # t(0.975, 3) = 3.182446 from tables; the sample deviation of 1, 2, 3, 4.
    deviation = math.sqrt(5 / 3)
    assert interval([1, 2, 3, 4]) == pytest.approx(3.182446 * deviation / 2, rel=1e-6)
    assert interval([0.5]) is None


def test_percent_and_table():
    assert percent({"mean": 0.5, "std": 0.01, "seeds": [1, 2]}) == "50.0 ± 1.0"
    assert percent({"mean": 0.5, "std": 0.0, "seeds": [1]}) == "50.0"
    assert percent(None) == "-"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---:|\n| 1 | 2 |"
