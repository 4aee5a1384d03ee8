"""Draw seconds per step beside the full table's; needs matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.node_classification.outcome import Outcome
from benchmarks.node_classification.style import SETTINGS, style_of

TABLE = "full"


def ratios(found: dict[str, Sequence[Outcome]]) -> dict[str, dict[str, float]]:
    """Seconds per step as multiples of the table's on the same graph.

    Returns:
        By label of the method, and then by graph.
    """
    shown: dict[str, dict[str, float]] = {}
    for dataset, here in found.items():
        seconds = {
            one.name: one.result["seconds_per_epoch"] for one in here if one.seeds
        }
        if TABLE not in seconds:
            continue
        for one in here:
            if one.name in seconds and one.inference_bytes:
                ratio = seconds[one.name] / seconds[TABLE]
                shown.setdefault(one.name, {})[dataset] = ratio
    return shown


def digest(found: dict[str, Sequence[Outcome]]) -> str:
    """Tells whether a figure shows these times."""
    return hashlib.sha256(json.dumps(ratios(found)).encode()).hexdigest()


def draw(found: dict[str, Sequence[Outcome]], path: Path) -> None:
    """Draw a row for each method, the same bytes of SVG for the same outcomes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import (  # noqa: PLC0415
        FuncFormatter,
        LogLocator,
        NullFormatter,
    )

    shown = ratios(found)
    labels = {one.name: one.label for here in found.values() for one in here}
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(7.5, 1.0 + 0.24 * len(shown)))
        axes = figure.subplots()
        for row, (name, times) in enumerate(shown.items()):
            style, sorted_times = style_of(name), sorted(times.values())
            axes.plot(
                [sorted_times[0], sorted_times[-1]], [row, row], color="0.8", lw=1
            )
            axes.plot(
                sorted_times,
                [row] * len(sorted_times),
                linestyle="none",
                marker=style.marker,
                color=style.color,
                markeredgecolor="0.25",
                markeredgewidth=0.4,
            )
        axes.axvline(1.0, color="0.4", lw=0.8, ls="--")
        axes.set_yticks(range(len(shown)), [labels[name] for name in shown])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("seconds of a step, beside the full table's (a mark per graph)")
        axes.grid(axis="x", color="0.92", lw=0.6)
        axes.set_axisbelow(True)
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": digest(found)},
        )
