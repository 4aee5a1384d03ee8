"""The page of all methods: fronts, pairs at equal bytes, failures, and figures."""

import json

import pytest

from benchmarks.harness.experiment import load_experiments
from benchmarks.node_classification import cost_figure, curves_figure, front_figure
from benchmarks.node_classification import rivals_page as page
from benchmarks.node_classification.curves_figure import mean_curve
from benchmarks.node_classification.graph_section import section
from benchmarks.node_classification.graphs import TITLES
from benchmarks.node_classification.outcome import Outcome, compare, front
from benchmarks.node_classification.style import FAMILIES, family_of

EXPERIMENTS = load_experiments(page.SUITE)


def outcome(name, seeds, stored=100, trained=400, method="full", **others):
    score = {"mean": sum(seeds) / len(seeds), "std": 0.0, "seeds": list(seeds)}
    result = {
        "method": method,
        "metric": "accuracy",
        "test_score": score,
        "valid_score": score,
        "label_head": None,
        "inference_bytes": stored,
        "training_bytes": trained,
        "full_training_bytes": 4000,
        "compression_ratio": 1000 / stored if stored else None,
        "peak_rss_bytes": 5e8,
        "seconds_per_epoch": 0.5,
        "coding_seconds": 0.0,
        "config": {"lr": 0.01, "guidance": "none"},
        "curves": [{"valid_scores": [0.1, 0.5]} for _ in seeds],
        **others,
    }
    return Outcome(name, f"label of {name}", "ok", tuple(seeds), result, {})


FAILED = Outcome("opq-20x", "opq", "failed", (), {}, {"reason": "does not fit"})
FOUND = [
    outcome("full", [0.7, 0.72], stored=1000, trained=4000),
    outcome("kd-auto-50x", [0.74, 0.76], stored=20, trained=90),
    outcome("tensor-train-metis-50x", [0.70, 0.70], stored=20, trained=80),
    outcome("label-propagation", [0.9], stored=0, trained=0, method="labelprop"),
    FAILED,
]


def test_front_by_a_naive_search():
    points = [
        outcome(f"full{i}", [score], stored=stored)
        for i, (stored, score) in enumerate(
            [(10, 0.5), (10, 0.6), (20, 0.6), (30, 0.7), (40, 0.65), (50, 0.7)]
        )
    ]

    def beaten(one):
        return any(
            other.inference_bytes <= one.inference_bytes
            and other.mean >= one.mean
            and (other.inference_bytes, other.mean) != (one.inference_bytes, one.mean)
            for other in points
        )

    expected = [one.name for one in points if not beaten(one)]
    assert [one.name for one in front(points, "inference_bytes")] == expected
    assert expected == ["full1", "full3"]
    assert front([FAILED], "inference_bytes") == []


def test_chance_is_welch_s():
    one, other = [0.70, 0.72, 0.77], [0.60, 0.65, 0.66, 0.69]
    difference, chance = compare(outcome("full", one), outcome("full", other))
    stats = pytest.importorskip("scipy.stats")
    expected = stats.ttest_ind(one, other, equal_var=False)
    means = [sum(x) / len(x) for x in (one, other)]
    assert difference == pytest.approx(means[0] - means[1])
    assert chance == pytest.approx(expected.pvalue)
    assert compare(outcome("full", [0.5]), outcome("full", one))[1] is None
    same = outcome("full", [0.5, 0.5])
    assert compare(same, same) == (0.0, 1.0)
    nearly = outcome("full", [0.5, 0.5 + 1e-16])
    assert compare(nearly, same)[1] == 1.0
    assert compare(outcome("full", [0.6, 0.6]), same)[1] == 0.0


def test_tables_say_who_is_on_fronts_and_ahead():
    text = page._fronts({"cora": FOUND, "dblp": FOUND[:1]})
    assert "on 1 of the 1 graphs they were run on" in text
    assert "DBLP" not in text
    assert "| Cora | yes | yes | yes | label of kd-auto-50x |" in text
    equals = page._equals({"cora": FOUND})
    assert "| Cora | +4.0" in equals
    assert "+5.0" in equals
    assert "| ahead on | 1 of 1 | 1 of 1 |" in equals


def test_section_shows_failures():
    text = section("Cora", FOUND, "cora.svg")
    assert text.startswith("## Cora\n\n![Cora: accuracy against bytes](cora.svg)\n")
    assert "| opq | failed | - |" in text
    assert "- *opq*: failed, does not fit" in text
    assert "| **label of kd-auto-50x** | 75.0 ± 0.0 |" in text
    assert "| label of label-propagation | 90.0 | - |" in text


def test_every_experiment_has_a_family_and_looks_differ():
    for experiment in EXPERIMENTS:
        family_of(experiment.name)
    looks = [style for style, _ in FAMILIES.values()]
    assert len({look.marker for look in looks}) == len(looks)
    assert len({look.color for look in looks}) == len(looks)
    with pytest.raises(ValueError, match="no family of figures has experiment 'x'"):
        family_of("x")


def test_pairs_and_curves_name_experiments():
    names = {one.name for one in EXPERIMENTS}
    assert {name for pair in page.EQUALS for name in pair} <= names
    assert set(curves_figure.SHOWN) <= names
    cited = json.loads(page.LITERATURE.read_text())
    assert {one["experiment"] for one in cited} <= names
    assert {one["dataset"] for one in cited} <= TITLES.keys()
    assert all(one["source"] for one in cited)


def test_curves_end_with_the_shortest():
    assert mean_curve([[0.0, 0.5, 0.7], [0.2, 0.7]]).tolist() == [0.1, 0.6]


def test_costs_are_beside_the_table_s():
    slow = outcome("kd-softmax", [0.5], seconds_per_epoch=1.5)
    assert cost_figure.ratios({"cora": [*FOUND, slow]}) == {
        "full": {"cora": 1.0},
        "kd-auto-50x": {"cora": 1.0},
        "tensor-train-metis-50x": {"cora": 1.0},
        "kd-softmax": {"cora": 3.0},
    }
    assert cost_figure.ratios({"cora": [slow]}) == {}


def test_figures_are_the_same_twice_and_carry_their_digest(tmp_path):
    pytest.importorskip("matplotlib")
    found = {"cora": FOUND}
    drawings = {
        "front": lambda path: front_figure.draw(FOUND, "Cora", path),
        "curves": lambda path: curves_figure.draw(found, TITLES, path),
        "cost": lambda path: cost_figure.draw(found, path),
    }
    digests = {
        "front": front_figure.digest(FOUND),
        "curves": curves_figure.digest(found),
        "cost": cost_figure.digest(found),
    }
    for name, draw in drawings.items():
        first, second = tmp_path / f"{name}.svg", tmp_path / f"{name}-2.svg"
        draw(first)
        draw(second)
        assert first.read_text() == second.read_text()
        assert digests[name] in first.read_text()
