"""Outcome: what one method reached on one graph, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import variance
from typing import Any

from scipy import stats

from benchmarks.harness.experiment import Experiment
from benchmarks.harness.recount import IN_ORDER, over_budget
from benchmarks.harness.summary import interval

_SAME = 1e-9
"""Scores that differ by less are the same."""
OURS = "kd-auto"
"""How the names of our experiments begin."""


@dataclass(frozen=True)
class Outcome:
    """One method on one graph.

    Args:
        name: Of the experiment.
        label: How tables call it.
        status: ``"ok"``, ``"failed"`` or ``"out-of-memory"``.
        seeds: Test scores.
        result: What training wrote; empty where it failed.
        record: All of it.
    """

    name: str
    label: str
    status: str
    seeds: tuple[float, ...]
    result: dict[str, Any]
    record: dict[str, Any]

    @property
    def mean(self) -> float:
        """Of the test scores."""
        return sum(self.seeds) / len(self.seeds)

    @property
    def interval(self) -> float | None:
        """Half the width of the 95 % interval of the mean."""
        return interval(self.seeds)

    @property
    def inference_bytes(self) -> int:
        """Kept after training."""
        return int(self.result["inference_bytes"])

    @property
    def inference_bytes_in_order(self) -> int:
        """Kept of a graph that is stored in the order that implies codes."""
        return int(self.result.get(IN_ORDER, self.inference_bytes))

    @property
    def over_budget(self) -> bool:
        """Whether it keeps more than it was allowed, the map counted anew."""
        options = self.record.get("config", {}).get("options", {})
        return over_budget(self.result, options)

    @property
    def training_bytes(self) -> int:
        """Weights, gradients and optimizer state."""
        return int(self.result["training_bytes"])

    @property
    def reads_labels(self) -> bool:
        """Whether it needs the training labels when it predicts."""
        return self.result["method"] in ("labelprop", "correct-and-smooth")

    @property
    def ours(self) -> bool:
        """Whether it is codes that this project picks by itself."""
        return self.name.startswith(OURS)


def outcomes(experiments: Iterable[Experiment], dataset: str) -> list[Outcome]:
    """What is known of a graph, in the order of the table."""
    found = []
    for experiment in experiments:
        record = experiment.record(dataset)
        if record is None or dataset not in experiment.datasets:
            continue
        result = record.get("result") or {}
        seeds = tuple(result["test_score"]["seeds"]) if result else ()
        found.append(
            Outcome(
                experiment.name,
                experiment.label,
                record["status"],
                seeds,
                result,
                record,
            )
        )
    return found


def front(found: Iterable[Outcome], cost: str) -> list[Outcome]:
    """Those that nothing else beats: none is as good at as little cost, and better.

    Args:
        found: Outcomes on one graph; failures are left out.
        cost: A property, such as ``"inference_bytes"`` or ``"training_bytes"``.

    Returns:
        The Pareto front, by rising cost.
    """
    sound = [one for one in found if one.seeds]
    best: list[Outcome] = []
    for one in sorted(sound, key=lambda one: (getattr(one, cost), -one.mean)):
        if not best or one.mean > best[-1].mean:
            best.append(one)
    return best


def compare(one: Outcome, other: Outcome) -> tuple[float, float | None]:
    """By how much one mean is above the other, and how likely chance alone does it.

    Welch's t-test, two-sided; ``None`` where one of them has a single seed.
    """
    difference = one.mean - other.mean
    if min(len(one.seeds), len(other.seeds)) < 2:
        return difference, None
    if all(max(each.seeds) - min(each.seeds) < _SAME for each in (one, other)):
        # Without any deviation the test is not defined.
        return difference, 0.0 if abs(difference) > _SAME else 1.0
    errors = [variance(each.seeds) / len(each.seeds) for each in (one, other)]
    # Welch and Satterthwaite's degrees of freedom.
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(each.seeds) - 1)
        for error, each in zip(errors, (one, other), strict=True)
    )
    distance = abs(difference) / math.sqrt(sum(errors))
    return difference, float(2 * stats.t.sf(distance, freedom))
