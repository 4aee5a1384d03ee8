"""Configurations are valid without training, and the pages are what results say."""

import json

import numpy as np
import pytest

from benchmarks.harness.experiment import BENCHMARKS, Experiment, load_experiments
from benchmarks.node_classification import codes_page, convert, quick_page, task
from benchmarks.node_classification.panel import AUTO, LEARNED, READ, Panel, collect
from kdgraph.cli.main import build_parser
from kdgraph.training import TrainConfig

EXPERIMENTS = load_experiments(codes_page.SUITE)


def score(*seeds):
    mean = sum(seeds) / len(seeds)
    return {"mean": mean, "std": 0.01 * (len(seeds) > 1), "seeds": list(seeds)}


def result(test, *, stored=100, **others):
    ratio = 1000 / stored if stored else None
    return {
        "metric": "accuracy",
        "test_score": test,
        "valid_score": score(0.5),
        "inference_bytes": stored,
        "full_bytes": 1000,
        "compression_ratio": ratio,
        "training_bytes": 40,
        "full_training_bytes": 4000,
        "peak_rss_bytes": 5e6,
        "seconds_per_epoch": 0.25,
        **others,
    }


HEAD = {
    "test_score": score(0.8, 0.9),
    "valid_score": score(0.8),
    "alpha": [],
    "mix": [],
}


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """A way to keep results that nobody measured."""

    def result_path(experiment, dataset, output=None):
        return tmp_path / dataset / f"{experiment.name}.json"

    monkeypatch.setattr(Experiment, "result_path", result_path)
    (tmp_path / "cora").mkdir()

    def keep(name, found, status="ok"):
        record = {"status": status} | ({"result": found} if found else {})
        (tmp_path / "cora" / f"{name}.json").write_text(json.dumps(record))

    return keep


def made_up(name, options, order=0):
    return Experiment(
        path=BENCHMARKS / "node_classification" / "configs" / "codes" / f"{name}.json",
        task="node_classification",
        label=f"label of {name}",
        order=order,
        datasets=("cora",),
        seeds={"default": 1},
        trials={"default": [{}]},
        options=options,
        threads=1,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "kdd"}, "invalid choice: 'kdd'"),
        ({"coder": "fixed", "codes": "tree:2x"}, "tree:2x"),
        ({"lr": -1}, "lr is above 0"),
        ({"no-such-option": 3}, "unrecognized arguments: --no-such-option"),
    ],
)
def test_options_that_no_run_takes(options, message):
    with pytest.raises(ValueError, match=message):
        task.validate(options, "cora")
    with pytest.raises(ValueError, match="unknown data set 'corra'"):
        task.validate({}, "corra")


def test_run_has_scores_and_curves_of_each_seed():
    options = {"method": "full", "dim": 8, "epochs": 3, "hidden-dim": 8}
    result = task.run(options, "sbm", 2, None)
    assert len(result["test_score"]["seeds"]) == 2
    assert result["inference_bytes"] == 4 * 8 * result["num_nodes"]
    for seed, curve in enumerate(result["curves"]):
        assert curve["seed"] == seed
        assert len(curve["losses"]) == len(curve["valid_scores"]) == 3
        best = curve["valid_scores"][curve["best_epoch"]]
        assert best == result["valid_score"]["seeds"][seed]
    again = task.run(options, "sbm", 2, None)
    assert again["curves"] == result["curves"]


def test_experiments_say_which_coder():
    for experiment in EXPERIMENTS:
        coded = experiment.options.get("method", "kd") == "kd"
        assert ("coder" in experiment.options) == coded, experiment.name


def test_auto_experiment_is_the_default_of_the_command():
    (auto,) = (one for one in EXPERIMENTS if one.name == "kd-auto")
    parser = build_parser()
    said = parser.parse_args(["train", "--coder", str(auto.options["coder"])])
    assert auto.options.keys() == {"coder"}
    assert vars(said) == vars(parser.parse_args(["train"]))


def test_experiments_have_their_own_place():
    orders = [experiment.order for experiment in EXPERIMENTS]
    assert len(set(orders)) == len(orders)


def test_failed_run_is_shown(keep):
    experiment = made_up("x", {"coder": "vq"})
    keep("x", None, status="killed")
    row = codes_page._row(experiment, "cora")
    assert row == ["label of x", "killed", *["-"] * (len(codes_page._HEADER) - 2)]
    assert collect([experiment], "cora", "Cora") is None


def test_row_of_an_earlier_version_has_no_head_and_no_coding(keep):
    keep("x", result(score(0.6, 0.7)))
    row = codes_page._row(made_up("x", {"coder": "vq"}), "cora")
    assert row[:6] == ["label of x", "65.0 ± 1.0", "-", "50.0", "2", "100"]
    assert row[6:] == ["10.0x", "-", "1 %", "5 MB", "-", "250 ms"]


def test_row_shows_head_and_coding(keep):
    keep("x", result(score(0.6, 0.7), label_head=HEAD, coding_seconds=1.26))
    row = codes_page._row(made_up("x", {"coder": "auto"}), "cora")
    named = dict(zip(codes_page._HEADER, row, strict=True))
    assert named["with label head"] == "85.0 ± 1.0"
    assert named["coding"] == "1.3 s"


def test_section_names_its_metric_and_what_auto_took(keep):
    config = TrainConfig(coder="refined", codes="tree:4x4", code_dim=8, storage="int8")
    auto = {
        "config": config.replace(guidance="none").as_dict(),
        "reason": "few labels",
        "tried": [{"codes": "tree:4x4", "bytes": 1234, "valid_score": 0.5}],
    }
    keep("x", result(score(0.6), metric="micro-f1", auto=auto))
    keep("y", result(score(0.6), metric="micro-f1", auto=None))
    both = [made_up("x", {"coder": "auto"}), made_up("y", {"coder": "vq"})]
    section = codes_page._section(both, "cora", "Cora")
    assert "| method | test micro-f1 |" in section
    assert section.endswith(
        "\n\n- *label of x* took `tree:4x4`, codewords of 8, in int8, re-chosen by "
        "gradients; validation scores: `tree:4x4` (1,234 bytes) 50.0\n"
    )


def test_readme_shows_auto_with_and_without_head(keep):
    keep("kd-auto", result(score(0.6), label_head=HEAD))
    keep("kd-softmax", result(score(0.5), stored=200))
    auto, head, learned = quick_page.render().splitlines()[2:]
    assert auto == "| **codes read off the graph** | 60.0 | - | - | - | 10 % | 1 % |"
    assert "label head (reads the labels) | 85.0 ± 1.0 | - |" in head
    assert learned == "| **learned codes** | 50.0 | - | - | - | 20 % | 1 % |"


def test_panel_has_every_result_and_its_head(keep):
    known = [
        made_up("table", {"method": "full"}),
        made_up("spread", {"method": "labelprop"}),
        made_up("auto", {"coder": "auto"}),
        made_up("small", {"coder": "auto", "compression": 100}),
        made_up("unguided", {"coder": "auto", "guidance": "none"}),
        made_up("random", {"coder": "fixed"}),
        made_up("learned", {"coder": "vq"}),
        made_up("missing", {"coder": "vq"}),
    ]
    for index, experiment in enumerate(known[:-1]):
        head = {"label_head": HEAD} if experiment.name == "auto" else {}
        stored = 0 if experiment.name == "spread" else 10 + index
        keep(experiment.name, result(score(0.6, 0.7), stored=stored, **head))
    panel = collect(known, "cora", "Cora")
    assert [(one.name, one.family, one.bytes, one.head) for one in panel.points] == [
        ("table", "label of table", 10, False),
        ("spread", "label of spread", 0, False),
        ("auto", AUTO, 12, False),
        ("auto", AUTO, 12, True),
        ("small", AUTO, 13, False),
        ("unguided", READ, 14, False),
        ("random", READ, 15, False),
        ("learned", LEARNED, 16, False),
    ]
    assert panel.points[3].mean == pytest.approx(85)
    assert panel.points[3].std == pytest.approx(1)
    assert collect(known, "citeseer", "CiteSeer") is None


def test_every_table_has_a_look_of_its_own():
    pytest.importorskip("matplotlib")
    from benchmarks.node_classification import figure

    methods = {one.name: one.options.get("method", "kd") for one in EXPERIMENTS}
    tables = {name for name in methods if methods[name] not in ("kd", "labelprop")}
    assert figure._TABLES.keys() == tables
    looks = [*figure._TABLES.values(), *figure._STYLES.values()]
    assert len({look.marker for look in looks}) == len(looks)
    assert len({look.color for look in looks}) == len(looks)


def test_figure_is_the_same_twice(keep, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.node_classification import figure

    keep("full", result(score(0.9), stored=1000, label_head=HEAD))
    keep("full-labelprop", result(score(0.9), stored=1000))
    keep("labelprop", result(score(0.7), stored=0))
    keep("kd-auto", result(score(0.8, 0.9), label_head=HEAD))
    keep("kd-auto-100x", result(score(0.8, 0.9), stored=10, label_head=HEAD))
    keep("kd-hash", result(score(0.1)))
    keep("kd-vq", result(score(0.6)))
    panel = collect(EXPERIMENTS, "cora", "Cora")
    drawn = []
    for name in ("first.svg", "second.svg"):
        figure.draw(panel, tmp_path / name)
        drawn.append((tmp_path / name).read_text())
    assert drawn[0] == drawn[1]
    assert panel.digest in drawn[0]
    assert "<dc:date>" not in drawn[0]


def test_figure_keeps_experiments_of_the_same_bytes_apart(keep):
    pytest.importorskip("matplotlib")
    from benchmarks.node_classification import figure

    names = ["kd-auto", "kd-hash", "kd-vq", "kd-gumbel", "kd-sum"]
    for name in names:
        keep(name, result(score(0.6), label_head=HEAD))
    places = figure._places(collect(EXPERIMENTS, "cora", "Cora").points)
    assert places["kd-auto"] == 100
    assert len(set(places.values())) == len(names)
    assert max(places.values()) <= 100 * (1 + figure.WIDEST)


def test_digest_tells_numbers_apart():
    one = Panel("Cora", "accuracy", 1000, ())
    assert one.digest == Panel("Cora", "accuracy", 1000, ()).digest
    assert one.digest != Panel("Cora", "accuracy", 1001, ()).digest


def test_seeds_of_an_experiment_are_what_differs():
    (recurrent,) = (one for one in EXPERIMENTS if one.name == "kd-recurrent")
    (auto,) = (one for one in EXPERIMENTS if one.name == "kd-auto")
    assert (recurrent.seeds_on("pubmed"), recurrent.seeds_on("ogbn-arxiv")) == (2, 3)
    assert auto.seeds_on("cora") == 10


def test_graphs_of_ogb_become_files_that_train(tmp_path):
    edges = np.array([[0, 1, 2], [1, 2, 0]])
    split = {"train": [0], "valid": [1], "test": [2]}
    labels = np.eye(3, 5, dtype=np.int64)
    graph = {"edge_index": edges, "num_nodes": 3}
    np.savez(tmp_path / "ogbn-proteins.npz", **convert.proteins(graph, labels, split))
    options = {"method": "full", "dim": 4, "hidden-dim": 4, "epochs": 1}
    result = task.run(options, "ogbn-proteins", 1, tmp_path)
    assert (result["metric"], result["num_nodes"]) == ("micro-f1", 3)
    with pytest.raises(FileNotFoundError, match="convert ogbn-mag --root .* makes it"):
        task.run(options, "ogbn-mag", 1, tmp_path)


def test_papers_come_first_and_others_have_no_class():
    graph = {
        "num_nodes_dict": {"author": 2, "paper": 3},
        "edge_index_dict": {
            ("author", "writes", "paper"): np.array([[0, 1], [2, 0]]),
            ("paper", "cites", "paper"): np.array([[0], [1]]),
        },
    }
    labels = {"paper": np.array([[4], [5], [6]])}
    split = {part: {"paper": np.array([0])} for part in ("train", "valid", "test")}
    found = convert.mag(graph, labels, split)
    assert found["num_nodes"] == 5
    assert found["y"].tolist() == [4, 5, 6, -1, -1]
    assert found["edge_index"].tolist() == [[3, 4, 0], [2, 0, 1]]
