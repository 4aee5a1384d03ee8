"""The README's table of a large graph, from the results."""

from typing import Any

from benchmarks.readme import with_block
from benchmarks.scale import table

_LINES = {
    "prepare": "edge list to a graph on disk",
    "codes": "codes read off the graph",
    "train": "1,000 batches of 1,024 nodes, fan-out 15-10",
    "infer": "scores of all nodes, all neighbours",
}


def with_scale(readme: str, records: list[dict[str, Any]]) -> str:
    """The README with seconds and memory of the largest graph of the results."""
    by_step = {record["step"]: record for record in records}
    lines = ["| stage | takes | peak memory |", "|---|---:|---:|"]
    for step, label in _LINES.items():
        record = by_step[step]
        run = table.shown_run(record, step)
        seconds = run["seconds_per_1000"] if step == "train" else run["seconds"]
        peak = f"{run['peak_rss_bytes'] / 2**30:.1f} GiB"
        lines.append(f"| {label} | {seconds:,.0f} s | {peak} |")
    setting = by_step["train"]["setting"]
    head = (
        f"{setting['num_nodes']:,} nodes, {setting['num_edges']:,} undirected edges, "
        f"{setting['channels']} channels, GraphSAGE, on two cores; the table with its "
        f"gradients and Adam would take "
        f"{16 * setting['num_nodes'] * setting['channels'] / 1e9:.1f} GB:\n\n"
    )
    rival = table.notes(by_step["table"])[-1]
    nodes = by_step["table"]["setting"]["num_nodes"]
    tail = (
        f"\nWhere `nn.Embedding(sparse=True)` with `SparseAdam` fits, at {nodes:,} "
        f"nodes, {rival} in the same trainer.\n"
    )
    return with_block(readme, "scale", head + "\n".join(lines) + "\n" + tail)
