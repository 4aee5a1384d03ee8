"""The section of one graph on the page of all methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness.summary import in_order, percent, table
from benchmarks.node_classification.outcome import Outcome

OVER = "†"
"""Marks what keeps more than it was allowed, since its bytes were counted anew."""
_HEADER = (
    "method",
    "test",
    "± 95 %",
    "label head",
    "validation",
    "n",
    "lr",
    "bytes",
    "smaller",
    "stored in order",
    "training",
    "peak",
    "step",
    "reading",
)


def section(title: str, here: Iterable[Outcome], figure: str) -> str:
    """The section of a graph: its figure, what each method gave, and what failed.

    Args:
        title: What the graph is called.
        here: Outcomes on it.
        figure: Address of its figure, as the page sees it.
    """
    here = list(here)
    rows = [_row(one) for one in here]
    metric = next((one.result["metric"] for one in here if one.seeds), "accuracy")
    parts = [
        f"## {title}",
        f"![{title}: {metric} against bytes]({figure})",
        table([_HEADER[0], f"test {metric}", *_HEADER[2:]], rows),
    ]
    failures = [
        f"- *{one.label}*: {one.status}, {one.record.get('reason', 'no reason given')}"
        for one in here
        if not one.seeds
    ]
    if failures:
        parts.append("\n".join(failures))
    return "\n\n".join(parts) + "\n"


def _row(one: Outcome) -> list[str]:
    if not one.seeds:
        return [one.label, one.status, *["-"] * (len(_HEADER) - 2)]
    result = one.result
    head = result.get("label_head")
    stored = result["inference_bytes"]
    share = result["training_bytes"] / result["full_training_bytes"]
    coding = result.get("coding_seconds")
    return [
        f"**{one.label}**" if one.ours else one.label,
        percent(result["test_score"]),
        "-" if one.interval is None else f"{100 * one.interval:.1f}",
        percent(head and head["test_score"]),
        percent(result["valid_score"]),
        str(len(one.seeds)),
        _settings(result["config"]) if stored else "-",
        f"{stored:,}",
        smaller(result) + (OVER if one.over_budget else ""),
        in_order(result),
        f"{100 * share:.1f} %",
        f"{result['peak_rss_bytes'] / 1e6:.0f} MB",
        f"{1000 * result['seconds_per_epoch']:.0f} ms" if stored else "-",
        f"{coding:.1f} s" if coding else "-",
    ]


def _settings(config: dict[str, Any]) -> str:
    """What validation chose."""
    diffused = ", diffused" if config["guidance"] == "diffusion" else ""
    return f"{config['lr']:g}{diffused}"


def smaller(result: dict[str, Any]) -> str:
    """How many times the bytes go into the table's."""
    ratio = result["compression_ratio"]
    return f"{ratio:.1f}x" if ratio else "-"
