"""The benchmarks that train, by name."""

import importlib
from pathlib import Path
from typing import Any, Protocol, cast


class Task(Protocol):
    """What a benchmark gives to the harness: its module ``task``."""

    def validate(self, options: dict[str, Any], dataset: str) -> None:
        """Refuse what cannot be run, without training and without data.

        Raises:
            ValueError: An option or a data set that is not known.
        """

    def run(
        self, options: dict[str, Any], dataset: str, seeds: int, root: Path | None
    ) -> dict[str, Any]:
        """Train seeds 0 to ``seeds - 1`` in this process, and say what came out.

        ``valid_score`` and ``test_score`` hold ``mean``, ``std`` and ``seeds``.
        """


TASKS = (
    "node_classification",
    "text_classification",
    "link_prediction",
    "code_meaning",
)


def task_of(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return cast("Task", importlib.import_module(f"benchmarks.{name}.task"))
