"""The tables of a record, for a terminal and for a page."""

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

Run = dict[str, Any]


class Column(NamedTuple):
    """One column: a heading, and what stands below it for a run."""

    heading: str
    cell: Callable[[Run], str]


def _gib(key: str) -> Callable[[Run], str]:
    return lambda run: f"{run[key] / 2**30:.2f}"


def _number(key: str, form: str = ",.0f", scale: float = 1.0) -> Callable[[Run], str]:
    return lambda run: format(run[key] / scale, form)


def _per(key: str) -> Callable[[Run], str]:
    return lambda run: f"{1000 * run['seconds_per_1000'] / run[key]:.2f}"


def _vectors(run: Run) -> str:
    tables = {"table": "float table", "sharded": "float table in parts"}
    return tables.get(run["encoder"], f"{run['codes']} codes")


_PEAK = Column("peak, GiB", _gib("peak_rss_bytes"))
_TRAINING = (
    Column("s per 1,000 batches", _number("seconds_per_1000", ".1f")),
    Column("median", _number("median_seconds_per_1000", ".1f")),
    Column("us a node", _per("nodes_per_batch")),
    Column("nodes a batch", _number("nodes_per_batch")),
    Column("edges a batch", _number("edges_per_batch")),
    Column("encoder, MiB", _number("encoder_training_bytes", ",.0f", 2**20)),
    _PEAK,
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "prepare": (
        Column("edges", _number("edges_read")),
        Column("entries", _number("entries")),
        Column("seconds", _number("seconds", ".1f")),
        Column("input, GiB", _gib("input_bytes")),
        Column("on disk, GiB", _gib("disk_bytes")),
        _PEAK,
    ),
    "codes": (
        Column("codes", lambda run: str(run["recipe"])),
        Column("seconds", _number("seconds", ".0f")),
        Column("codes, MiB", _number("code_bytes", ",.0f", 2**20)),
        Column("distinct", _number("unique_ratio", ".2f")),
        _PEAK,
    ),
    "sample": (
        Column("graph", lambda run: str(run["graph"])),
        Column("fan-out", lambda run: "-".join(map(str, run["num_neighbors"]))),
        Column("threads", lambda run: str(run["threads"])),
        Column("sampler", lambda run: str(run["sampler"])),
        Column("best, M edges/s", _number("edges_per_second", ".1f", 1e6)),
        Column("median", _number("median_edges_per_second", ".1f", 1e6)),
        Column("edges a batch", _number("edges_per_batch")),
    ),
    "train": (Column("codes", lambda run: str(run["codes"])), *_TRAINING),
    "infer": (
        Column("codes", lambda run: str(run["codes"])),
        Column("all nodes, s", _number("seconds", ".1f")),
        Column("M nodes/s", _number("nodes_per_second", ".2f", 1e6)),
        Column("validation nodes", _number("nodes_of_some")),
        Column("s", _number("seconds_of_some", ".1f")),
        _PEAK,
    ),
    "table": (Column("vectors", _vectors), *_TRAINING),
    "exchange": (
        Column("vectors", _vectors),
        Column("processes", _number("processes")),
        Column("threads of each", _number("threads")),
        Column("s per 1,000 batches", _number("seconds_per_1000", ".1f")),
        Column("median", _number("median_seconds_per_1000", ".1f")),
        Column("training nodes a s", _number("training_nodes_per_second")),
        Column("rows of a process", _number("nodes_per_process")),
        Column("KiB it gives", _number("sent_bytes_per_batch", ",.1f", 2**10)),
        Column("by formula", _number("formula_bytes_per_batch", ",.1f", 2**10)),
        Column("encoder, MiB", _number("encoder_training_bytes", ",.0f", 2**20)),
        _PEAK,
    ),
    "growth": (Column("nodes", _number("num_nodes")), *_TRAINING),
}


def rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Headings and cells; of several runs of a task, the one of median time."""
    columns = COLUMNS[record["step"]]
    found = [tuple(column.heading for column in columns)]
    for runs in record["runs"].values():
        well = [run for run in runs if run["status"] == "ok"]
        if not well:
            continue
        shown = [_middle(well)]
        if record["step"] == "sample":
            shown = shown[0]["rows"]
        found += [tuple(column.cell(run) for column in columns) for run in shown]
    return found


def shown_run(record: dict[str, Any], task: str) -> Run:
    """The run of a task that tables show.

    Raises:
        ValueError: None ended well.
    """
    well = [run for run in record["runs"][task] if run["status"] == "ok"]
    if not well:
        raise ValueError(f"no run of {task} ended well")
    return _middle(well)


def _middle(runs: list[Run]) -> Run:
    """The run of the lower median time; with the largest peak of any."""
    ranked = sorted(runs, key=lambda run: float(run.get("seconds_per_1000", 0.0)))
    peak = max(run["peak_rss_bytes"] for run in runs)
    return ranked[(len(ranked) - 1) // 2] | {"peak_rss_bytes": peak}


def notes(record: dict[str, Any]) -> list[str]:
    """What did not end well, and what was not there."""
    found = []
    for task, runs in record["runs"].items():
        for run in runs:
            if run["status"] != "ok":
                found.append(f"{task}: {run['status']}, {run['reason']}")
            found += [f"{name} is not installed" for name in run.get("absent", [])]
    spread = {
        task: [run["seconds_per_1000"] for run in runs if run["status"] == "ok"]
        for task, runs in record["runs"].items()
        if len(runs) > 1
    }
    found += [
        f"{task}: {', '.join(f'{one:.1f}' for one in seconds)} s per 1,000 batches"
        for task, seconds in spread.items()
        if seconds
    ]
    if record["step"] == "sample":
        for run in record["runs"]["sample"]:
            if run["status"] == "ok":
                found.append(f"peak {run['peak_rss_bytes'] / 2**30:.2f} GiB")
    if record["step"] == "table" and all(spread.get(one) for one in ("train", "table")):
        ratio = statistics.median(spread["table"]) / statistics.median(spread["train"])
        found.append(f"the table takes {ratio:.2f} times as long")
    if record["step"] == "exchange":
        found += _exchange_notes(record)
    return found


def _exchange_notes(record: dict[str, Any]) -> list[str]:
    """How many times as fast two processes are, and what a table in parts costs."""
    middle = {}
    for task, runs in record["runs"].items():
        well = [run for run in runs if run["status"] == "ok"]
        if well:
            middle[task] = _middle(well)
    two = middle.pop("codes-2x1", None)
    if two is None:
        return []
    found = []
    for run in middle.values():
        ratio = run["seconds_per_1000"] / two["seconds_per_1000"]
        if run["encoder"] == "codes":
            threads = "a thread" if run["threads"] == 1 else f"{run['threads']} threads"
            found.append(
                f"two processes with codes are {ratio:.2f} times as fast as one with "
                f"{threads}"
            )
        else:
            more = run["sent_bytes_per_batch"] / two["sent_bytes_per_batch"]
            found.append(
                f"with the table in parts a process gives {more:.1f} times as many "
                f"bytes, and a batch takes {ratio:.2f} times as long"
            )
    return found


def title(record: dict[str, Any]) -> str:
    """What was measured on which graph."""
    setting = record["setting"]
    nodes, edges = setting["num_nodes"], setting["num_edges"]
    if record["step"] == "growth":
        return "growth: ten undirected edges per node"
    return f"{record['step']}: {nodes:,} nodes, {edges:,} undirected edges"


def text(record: dict[str, Any]) -> str:
    """The table with its columns aligned, and notes below."""
    found = rows(record)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    lines = [title(record), ""]
    for row in found:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines + notes(record))
