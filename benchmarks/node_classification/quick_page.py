"""The README's table of results, generated from the runs of the quick suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.harness.experiment import Experiment, load_experiments
from benchmarks.harness.summary import percent, table
from benchmarks.node_classification.graphs import TITLES
from benchmarks.readme import README, with_block

SUITE = Path(__file__).parent / "configs" / "quick"
DATASETS = ("cora", "citeseer", "pubmed", "ogbn-arxiv")
WITH_HEAD = "kd-auto"
"""The experiment that is shown with its label head, too."""


def texts() -> dict[Path, str]:
    """The README."""
    return {README: with_result(README.read_text())}


def figures() -> dict[Path, str]:
    """None."""
    return {}


def draw(path: Path) -> None:
    """Nothing to draw.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"the README has no figure {path}")


def with_result(readme: str) -> str:
    """The README with its result as the files have it."""
    return with_block(readme, "result", render())


def render() -> str:
    """The table as Markdown."""
    titles = [TITLES[dataset] for dataset in DATASETS]
    header = ["test accuracy", *titles, "bytes of the table", "to train"]
    rows = []
    for experiment in load_experiments(SUITE):
        rows += _rows(experiment)
    return table(header, rows) + "\n"


def _rows(experiment: Experiment) -> list[list[str]]:
    """Its row, and the one with the label head where that is shown; none yet, none."""
    found = [experiment.result(dataset) for dataset in DATASETS]
    known = [one for one in found if one]
    if not known:
        return []
    costs = [
        _percent([one["inference_bytes"] / one["full_bytes"] for one in known]),
        _percent([one["training_bytes"] / one["full_training_bytes"] for one in known]),
    ]
    scores = [percent(one and one["test_score"]) for one in found]
    rows = [[experiment.label, *scores, *costs]]
    if experiment.name == WITH_HEAD:
        label = f"{experiment.label}, label head (reads the labels)"
        rows.append([label, *(percent(_head(one)) for one in found), *costs])
    return rows


def _head(result: dict[str, Any] | None) -> dict[str, Any] | None:
    head = result and result.get("label_head")
    score: dict[str, Any] | None = head and head["test_score"]
    return score


def _percent(shares: list[float]) -> str:
    low, high = (
        f"{100 * share:.1f}".removesuffix(".0") for share in (min(shares), max(shares))
    )
    return f"{low} %" if low == high else f"{low}-{high} %"
