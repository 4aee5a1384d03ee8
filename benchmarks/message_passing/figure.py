"""Draw time and memory against the size of the graph; needs matplotlib."""

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.message_passing import table


class _Style(NamedTuple):
    color: str
    marker: str
    line: str


# Okabe and Ito's colours; a marker for each, and a broken line for layers with a linear
# map, so that grey prints can be read too.
STYLES = {
    "kdgraph": _Style("#0072B2", "o", "-"),
    "torch-sparse": _Style("#000000", "s", "-"),
    "neighbor-sum": _Style("#56B4E9", "D", "-"),
    "embedding-bag": _Style("#E69F00", "^", "-"),
    "int8": _Style("#009E73", "v", "-"),
    "int4": _Style("#999999", "<", "-"),
    "decode": _Style("#CC79A7", "P", "-"),
    "kdgraph-layer": _Style("#0072B2", "*", "--"),
    "pyg-csr": _Style("#000000", "X", "--"),
    "pyg-edges": _Style("#D55E00", "h", "--"),
    "pyg-compiled": _Style("#D55E00", "d", "--"),
}
_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Ids in the file are drawn from this, and no longer at random.
    "svg.hashsalt": "kdgraph",
}


@dataclass(frozen=True)
class Curve:
    """One rival over all sizes.

    Args:
        name: Of the rival.
        label: In the legend.
        edges: Of each graph.
        nanoseconds: Per edge.
        memory: Bytes in all, ``None`` where the system did not tell.
    """

    name: str
    label: str
    edges: tuple[int, ...]
    nanoseconds: tuple[float, ...]
    memory: tuple[int | None, ...]


def collect(records: Iterable[dict[str, Any]]) -> list[Curve]:
    """The curves of forward passes on uniform degrees at the default width."""
    points: dict[str, list[tuple[int, float, int | None]]] = defaultdict(list)
    labels = {}
    for record in records:
        setting = record["setting"]
        shown = (setting["suite"], setting["degrees"], setting["channels"])
        sizes = (setting["num_codebooks"], setting["codebook_size"])
        if shown != ("forward", "uniform", 128) or sizes != (16, 256):
            continue
        for row in table.rows(record):
            if row.seconds is not None:
                per_edge = 1e9 * row.seconds / setting["num_edges"]
                points[row.name].append((setting["num_edges"], per_edge, row.memory))
                labels[row.name] = row.label
    return [
        Curve(name, labels[name], *zip(*sorted(points[name]), strict=True))
        for name in STYLES
        if name in points
    ]


def digest(curves: list[Curve]) -> str:
    """Tells whether a figure shows these numbers."""
    numbers = json.dumps([dataclasses.asdict(curve) for curve in curves])
    return hashlib.sha256(numbers.encode()).hexdigest()


def draw(curves: list[Curve], path: Path) -> None:
    """Draw both, the same bytes of SVG for the same curves."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(8.5, 4.0))
        time, memory = figure.subplots(1, 2)
        for curve in curves:
            _draw_curve(time, curve, curve.nanoseconds)
            _draw_curve(memory, curve, [size and size / 1e9 for size in curve.memory])
        _draw_axes(time, "nanoseconds per edge")
        _draw_axes(memory, "GB: inputs, result and extra")
        handles, labels = time.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=3,
            frameon=False,
        )
        figure.tight_layout()
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": digest(curves)},
        )


def _draw_curve(axes: Axes, curve: Curve, values: Any) -> None:
    style = STYLES[curve.name]
    # Curves with a linear map have hollow markers, too.
    hollow = style.line != "-"
    axes.plot(
        curve.edges,
        [float("nan") if value is None else value for value in values],
        label=curve.label,
        color=style.color,
        marker=style.marker,
        markerfacecolor="white" if hollow else style.color,
        linestyle=style.line,
        linewidth=1.2,
        markersize=6,
    )


def _draw_axes(axes: Axes, label: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("directed edges")
    axes.set_ylabel(label)
    axes.grid(color="0.9", lw=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:g} M"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
