"""Experiment: one row of a table, from a default and a small file of differences."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness.recount import recount

BENCHMARKS = Path(__file__).parents[1]
CONFIGS, RESULTS, DEFAULT = "configs", "results", "default.json"
OTHERS = "default"
"""Stands for all graphs that are not named."""


@dataclass(frozen=True)
class Experiment:
    """One row of a table.

    Args:
        path: The file that says how it differs from the defaults.
        task: The benchmark that trains it, a package beside this one.
        label: How tables call it.
        order: Its place in a table.
        datasets: What it runs on.
        seeds: By data set.
        trials: By data set, the options from which validation chooses one.
        options: Of the task, by name.
        threads: Of a run.
    """

    path: Path
    task: str
    label: str
    order: int
    datasets: tuple[str, ...]
    seeds: dict[str, int]
    trials: dict[str, list[dict[str, Any]]]
    options: dict[str, Any]
    threads: int

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def suite(self) -> str:
        """The folder of the file, below that of all configurations."""
        root = _root(self.path)
        return str(self.path.parent.relative_to(root)) if root else ""

    def seeds_on(self, dataset: str) -> int:
        """How many seeds a data set gets."""
        return self.seeds.get(dataset, self.seeds[OTHERS])

    def trials_on(self, dataset: str) -> list[dict[str, Any]]:
        """What validation chooses from on a data set: options beside its own."""
        return self.trials.get(dataset, self.trials[OTHERS])

    def resolved(self, dataset: str) -> dict[str, Any]:
        """All that a run on one data set follows from."""
        return {
            "task": self.task,
            "dataset": dataset,
            "options": self.options,
            "trials": self.trials_on(dataset),
            "seeds": self.seeds_on(dataset),
            "threads": self.threads,
        }

    def result_path(self, dataset: str, output: Path | None = None) -> Path:
        """Where the record of one data set lies.

        Raises:
            ValueError: A file that is not among those of a benchmark, and no output.
        """
        root = _root(self.path)
        if output is None and root is None:
            raise ValueError(
                f"{self.path} lies in no folder {CONFIGS!r} of a benchmark, so that "
                "there is no place for its results; name one with --output"
            )
        folder = output or (root or Path()).parent / RESULTS
        return folder / self.suite / dataset / f"{self.name}.json"

    def record(self, dataset: str, output: Path | None = None) -> dict[str, Any] | None:
        """What a run on one data set left, failed or not; ``None`` before it.

        Bytes from before maps were counted are counted anew, see :func:`recount`.
        """
        path = self.result_path(dataset, output)
        if not path.exists():
            return None
        record: dict[str, Any] = json.loads(path.read_text())
        if record.get("result"):
            record["result"] = recount(record["result"])
        return record

    def result(self, dataset: str, output: Path | None = None) -> dict[str, Any] | None:
        """What training gave on one data set, if it succeeded."""
        record = self.record(dataset, output)
        result: dict[str, Any] | None = record and record.get("result")
        return result


def load_experiments(*paths: Path) -> list[Experiment]:
    """The experiments of files and folders, by their place in the table.

    A file is merged into the ``default.json`` of its folder and of those above it, up
    to the one called ``configs``. Options, seeds and trials are merged key by key.

    Raises:
        ValueError: A file that is missing, broken, or says what no experiment knows.
    """
    files: list[Path] = []
    for path in map(Path.resolve, paths):
        given = path if path.exists() else path.with_name(path.name + ".json")
        if not given.exists():
            raise ValueError(
                f"{path} does not exist; name a file or a folder of configurations"
            )
        found = sorted(given.rglob("*.json")) if given.is_dir() else [given]
        found = [file for file in found if file.name != DEFAULT]
        if not found:
            raise ValueError(f"{path} holds no configuration")
        files += [file for file in found if file not in files]
    return sorted(map(_load, files), key=lambda one: (one.suite, one.order, one.name))


def _load(path: Path) -> Experiment:
    merged: dict[str, Any] = {}
    for file in [*_defaults(path), path]:
        said = _read(file)
        for key, value in said.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merged[key] | value if both else value
    missing = [key for key in ("task", "label", "datasets") if key not in merged]
    if missing:
        raise ValueError(f"{path} and its defaults do not say {', '.join(missing)}")
    merged = {
        "order": 0,
        "options": {},
        "threads": 1,
        **merged,
        "seeds": _by_dataset(merged.get("seeds", 1), 1),
        "trials": _by_dataset(merged.get("trials", [{}]), [{}]),
    }
    for key, (expected, holds) in _RULES.items():
        if not holds(merged[key]):
            raise ValueError(
                f"{path} and its defaults: {key} is {expected}, got {merged[key]!r}"
            )
    return Experiment(path=path, **(merged | {"datasets": tuple(merged["datasets"])}))


def _by_dataset(said: Any, otherwise: Any) -> dict[str, Any]:
    """What is said by data set, or said once for all."""
    return {OTHERS: otherwise} | (said if isinstance(said, dict) else {OTHERS: said})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_list_of(kind: type, value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, kind) for one in value)
    )


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "task": ("the name of a task", _is_text),
    "label": ("a text", _is_text),
    "order": ("a whole number", lambda value: isinstance(value, int)),
    "datasets": ("a list of one name or more", partial(_is_list_of, str)),
    "seeds": (
        "a number of at least 1, or one for each data set",
        lambda value: all(map(_is_count, value.values())),
    ),
    "trials": (
        "a list of one object of options or more, or one for each data set",
        lambda value: all(_is_list_of(dict, one) for one in value.values()),
    ),
    "options": ("an object", lambda value: isinstance(value, dict)),
    "threads": ("a number of at least 1", _is_count),
}
"""By what a file may say, what that is."""


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no readable JSON: {error}") from error
    if not isinstance(said, dict):
        raise ValueError(f"{path} holds no object, but {type(said).__name__}")
    unknown = sorted(set(said) - set(_RULES))
    if unknown:
        raise ValueError(
            f"{path} says {', '.join(unknown)}, but an experiment knows only "
            f"{', '.join(_RULES)}"
        )
    return said


def _root(path: Path) -> Path | None:
    """The folder ``configs`` that a file is in."""
    return next((above for above in path.parents if above.name == CONFIGS), None)


def _defaults(path: Path) -> list[Path]:
    """The defaults that hold for a file, the most general first."""
    root = _root(path)
    folders = [path.parent]
    if root is not None:
        folders = [above for above in path.parents if above.is_relative_to(root)]
    return [
        folder / DEFAULT for folder in reversed(folders) if (folder / DEFAULT).exists()
    ]
