"""One run in a process of its own: trials, and then all seeds of the best."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.tasks import task_of
from benchmarks.process import leave_result


def train(config: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """Try on the first seed what validation chooses from, and train what it chose.

    Of equals the first is taken. Test scores of trials are not kept.

    Args:
        config: What :meth:`Experiment.resolved` gives.
        root: Folder of data sets, if another than the usual one.
    """
    task, options = task_of(config["task"]), config["options"]
    trials, chosen = config["trials"], options | config["trials"][0]
    tried: list[dict[str, Any]] = []
    if len(trials) > 1:
        for trial in trials:
            found = task.run(options | trial, config["dataset"], 1, root)
            tried.append(
                {"options": trial, "valid_score": found["valid_score"]["mean"]}
            )
        best = max(tried, key=lambda one: one["valid_score"])
        chosen = options | best["options"]
    result = task.run(chosen, config["dataset"], config["seeds"], root)
    return {"status": "ok", "tried": tried, "chosen": chosen, "result": result}


def main() -> None:
    """Read a request, and leave what came out of it."""
    request = json.loads(Path(sys.argv[1]).read_text())
    root = request["root"] and Path(request["root"])
    leave_result(
        lambda: train(request["config"], root),
        Path(sys.argv[2]),
        request["memory"],
    )


if __name__ == "__main__":
    main()
