"""Experiments: a default and, for each, what differs from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Experiment:
    """One row of the table.

    Args:
        name: File name without its ending.
        label: How the table calls it.
        order: Its place in the table.
        datasets: Graphs it runs on.
        seeds: By data set.
        options: Of ``kdgraph train``, by name without the dashes.
    """

    name: str
    label: str
    order: int
    datasets: tuple[str, ...]
    seeds: dict[str, int]
    options: dict[str, Any]

    def command(self, dataset: str, output: Path, root: Path | None) -> list[str]:
        """Arguments of ``kdgraph train`` for one graph."""
        arguments = ["--dataset", dataset, "--seeds", str(self.seeds[dataset])]
        arguments += ["--quiet", "--json", str(output)]
        if root is not None:
            arguments += ["--root", str(root)]
        for option, value in self.options.items():
            # A switch takes no value.
            arguments += (
                [f"--{option}"] if value is True else [f"--{option}", str(value)]
            )
        return arguments

    def result_path(self, dataset: str) -> Path:
        """Where the result of one graph lies."""
        return RESULTS / dataset / f"{self.name}.json"

    def record(self, dataset: str) -> dict[str, Any] | None:
        """What a run on one graph left, failed or not; ``None`` before it."""
        path = self.result_path(dataset)
        if not path.exists():
            return None
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def result(self, dataset: str) -> dict[str, Any] | None:
        """What ``kdgraph train --json`` wrote for one graph, if it succeeded."""
        record = self.record(dataset)
        result: dict[str, Any] | None = record and record.get("result")
        return result


def load_experiments() -> list[Experiment]:
    """Every experiment, in the order of the table.

    Raises:
        ValueError: A key that no experiment has.
    """
    default = json.loads((HERE / "default.json").read_text())
    found = []
    for path in sorted((HERE / "experiments").glob("*.json")):
        difference = json.loads(path.read_text())
        unknown = sorted(set(difference) - set(default) - {"label", "order"})
        if unknown:
            raise ValueError(f"{path.name} has unknown keys {unknown}")
        merged = default | difference
        seeds = default["seeds"] | difference.get("seeds", {})
        found.append(
            Experiment(
                name=path.stem,
                label=merged["label"],
                order=merged["order"],
                datasets=tuple(merged["datasets"]),
                seeds=seeds,
                options=merged["options"],
            )
        )
    return sorted(found, key=lambda experiment: experiment.order)
