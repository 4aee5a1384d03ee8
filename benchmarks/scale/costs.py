"""What ``kdgraph plan`` says of large graphs, worked out from the results."""

import json
import statistics
from pathlib import Path
from typing import Any

import kdgraph.training
from benchmarks.scale.report import RESULTS

SIZE = "10m"
FILE = Path(kdgraph.training.__file__).with_name("measured_costs.json")


def costs(results: Path = RESULTS) -> dict[str, Any]:
    """The fields of :class:`kdgraph.training.large_plan.Costs`.

    What training takes beside what grows with the nodes is the resident set before the
    graph is opened; the rest of the peak is divided by the nodes.
    """
    read = {
        step: json.loads((results / f"{step}-{SIZE}.json").read_text())
        for step in ("prepare", "codes", "train", "infer")
    }
    run = {step: record["runs"][step][0] for step, record in read.items()}
    setting = read["train"]["setting"]
    nodes, entries = setting["num_nodes"], run["prepare"]["entries"]
    layers = len(setting["num_neighbors"])
    train = read["train"]["runs"]["train"]
    step = statistics.median(one["seconds_per_1000"] for one in train) / 1000
    base = run["train"]["rss_bytes_before"]
    found = {
        "nodes": nodes,
        "cores": read["train"]["machine"]["cores"],
        "prepare_seconds": run["prepare"]["seconds"] / entries,
        "prepare_bytes": run["prepare"]["peak_rss_bytes"],
        "code_seconds": run["codes"]["seconds"] / entries,
        "code_bytes": run["codes"]["peak_rss_bytes"] / nodes,
        "step_seconds": step / run["train"]["edges_per_batch"],
        "step_bytes": base,
        "node_bytes": (run["train"]["peak_rss_bytes"] - base) / nodes,
        "infer_seconds": run["infer"]["seconds"] / (layers * entries),
    }
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in found.items()
    }


def write_costs() -> None:
    """Write them beside the plan that reads them."""
    FILE.write_text(json.dumps(costs(), indent=1) + "\n")
