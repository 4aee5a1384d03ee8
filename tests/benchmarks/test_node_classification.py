"""Experiments are valid without training, and the report is what the results say."""

import json
from pathlib import Path

import pytest

from benchmarks.node_classification import report
from benchmarks.node_classification.experiment import Experiment, load_experiments
from kdgraph.cli.main import build_parser
from kdgraph.training import TrainConfig

EXPERIMENTS = load_experiments()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda one: one.name)
def test_experiment_is_valid(experiment):
    parser = build_parser()
    names = TrainConfig.__dataclass_fields__
    for dataset in experiment.datasets:
        command = experiment.command(dataset, Path("out.json"), None)
        arguments = parser.parse_args(["train", *command])
        given = {key: value for key, value in vars(arguments).items() if key in names}
        TrainConfig(**given)
        assert arguments.seeds == experiment.seeds[dataset]
        assert arguments.dataset == dataset


def test_experiments_have_their_own_place():
    orders = [experiment.order for experiment in EXPERIMENTS]
    assert len(set(orders)) == len(orders)


def test_report_is_up_to_date():
    assert report.PAGE.read_text() == report.render()


def test_readme_result_is_up_to_date():
    assert report.README.read_text() == report.with_result(report.README.read_text())


def test_results_belong_to_experiments():
    known = {one.result_path(d) for one in EXPERIMENTS for d in one.datasets}
    found = set(report.RESULTS.rglob("*.json"))
    assert found <= known


def test_failed_run_is_shown(tmp_path, monkeypatch):
    experiment = Experiment("x", "label", 0, ("cora",), {"cora": 1}, {})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    (tmp_path / "cora").mkdir()
    (tmp_path / "cora" / "x.json").write_text(json.dumps({"status": "killed"}))
    assert report._row(experiment, "cora")[:2] == ["label", "killed"]
