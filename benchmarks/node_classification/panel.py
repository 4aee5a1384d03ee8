"""Panel: accuracy against bytes on one graph, as numbers; `figure` draws it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.experiment import Experiment

AUTO = "codes read off the graph: auto"
READ = "other codes that are not learned"
LEARNED = "learned codes"


@dataclass(frozen=True)
class Point:
    """One experiment.

    Args:
        name: Of the experiment.
        family: What it is drawn like; tables and label propagation are their own.
        bytes: Kept after training, 0 for label propagation.
        mean: Of the test scores, in per cent.
        std: Their sample deviation, 0 for one seed.
        head: Whether a label-spreading head is on top.
    """

    name: str
    family: str
    bytes: int
    mean: float
    std: float
    head: bool = False


@dataclass(frozen=True)
class Panel:
    """All experiments on one graph.

    Args:
        title: The graph.
        metric: Of the scores.
        full_bytes: Of the float32 table.
        points: In the order of the table.
    """

    title: str
    metric: str
    full_bytes: int
    points: tuple[Point, ...]

    @property
    def digest(self) -> str:
        """Tells whether a figure shows these numbers."""
        numbers = json.dumps(dataclasses.asdict(self))
        return hashlib.sha256(numbers.encode()).hexdigest()


def collect(
    experiments: Iterable[Experiment], dataset: str, title: str
) -> Panel | None:
    """What the results of one graph say; ``None`` where nothing has bytes yet."""
    points: list[Point] = []
    last: dict[str, Any] | None = None
    for experiment in experiments:
        if dataset not in experiment.datasets:
            continue
        result = experiment.result(dataset)
        if result is None:
            continue
        last = result
        # Results of earlier versions know no heads.
        head = result.get("label_head")
        for scored in (result, head) if head else (result,):
            score = scored["test_score"]
            points.append(
                Point(
                    name=experiment.name,
                    family=_family(experiment),
                    bytes=result["inference_bytes"],
                    mean=100 * score["mean"],
                    std=100 * score["std"],
                    head=scored is head,
                )
            )
    if last is None or not any(point.bytes for point in points):
        return None
    return Panel(title, last["metric"], last["full_bytes"], tuple(points))


def _family(experiment: Experiment) -> str:
    options = experiment.options
    if options.get("method", "kd") != "kd":
        return experiment.label
    if options["coder"] == "auto" and set(options) <= {"coder", "compression"}:
        return AUTO
    return READ if options["coder"] in ("auto", "fixed") else LEARNED
