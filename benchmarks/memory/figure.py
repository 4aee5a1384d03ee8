"""Draw bytes against nodes, formula and measurement; needs matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.memory.formula import held_bytes, kept_bytes
from benchmarks.memory.runs import RESULTS, find_run, load
from benchmarks.node_classification.style import SETTINGS, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = tuple(10**power for power in range(4, 10))
STYLES = {
    "full-dense": Style("table, Adam", "#000000", "*"),
    "full": Style("table, SparseAdam", "#999999", "X"),
    "int8": Style("table, rounded to 8 bits", "#56B4E9", "D"),
    "int8-training": Style("table in 8 bits", "#009E73", "v"),
    "kd-softmax": Style("KD codes, learned (query)", "#E69F00", "h"),
    "lowrank": Style("low rank", "#CC79A7", "P"),
    "tensor-train": Style("tensor train", "#D55E00", "s"),
    "position": Style("positions", "#F0E442", "^"),
    "kd-fixed": Style("KD codes, fixed", "#0072B2", "o"),
}
"""The methods that are drawn, and how; all others are in the tables."""


class Panel(NamedTuple):
    """One panel.

    Args:
        phase: Of which it shows the peak.
        title: What it shows.
        formula: Bytes of a method at a size.
        methods: Without those whose line another has already.
    """

    phase: str
    title: str
    formula: Callable[[str, int], int | None]
    methods: tuple[str, ...]


PANELS = (
    Panel(
        "keep",
        "kept after training",
        kept_bytes,
        tuple(one for one in STYLES if one not in ("full", "kd-softmax")),
    ),
    Panel(
        "step",
        "while training in batches",
        held_bytes,
        tuple(one for one in STYLES if one != "int8"),
    ),
)


def measured(name: str, phase: str) -> dict[int, int]:
    """Peak above the base of the sizes at which a phase ended well."""
    record, found = load(RESULTS / f"{name}.json"), {}
    for size in SIZES:
        run = find_run(record, size, "batch")
        told = run and run.get("phases", {}).get(phase)
        if told and told["status"] == "ok":
            found[size] = told["peak_rss_bytes"] - told["base_bytes"]
    return found


def digest() -> str:
    """Tells whether a figure shows these numbers."""
    numbers = [
        (name, [panel.formula(name, size) for size in SIZES], _points(panel, name))
        for panel in PANELS
        for name in panel.methods
    ]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def _points(panel: Panel, name: str) -> list[tuple[int, int]]:
    return sorted(measured(name, panel.phase).items())


def draw(path: Path) -> None:
    """Draw both panels, the same bytes of SVG for the same numbers."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9.5, 4.6))
        for axes, panel in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
            _panel(axes, panel)
        handles = [
            Line2D(
                [],
                [],
                label=style.label,
                color=style.color,
                marker=style.marker,
                markeredgecolor="0.25",
                markeredgewidth=0.5,
                markersize=_size(style),
                lw=1.2,
            )
            for style in STYLES.values()
        ]
        figure.legend(
            handles=handles,
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
            metadata={"Date": None, "Creator": None, "Description": digest()},
        )


def _panel(axes: Axes, panel: Panel) -> None:
    for name in panel.methods:
        style = STYLES[name]
        line = [(size, panel.formula(name, size)) for size in SIZES]
        fitting = [(size, count) for size, count in line if count]
        # Pale colours have an edge, and every line its mark where it ends.
        axes.plot(*zip(*fitting, strict=True), color="0.25", lw=1.9, zorder=1)
        axes.plot(*zip(*fitting, strict=True), color=style.color, lw=1.2, zorder=2)
        axes.plot(
            *fitting[-1],
            color=style.color,
            marker=style.marker,
            markersize=_size(style),
            markerfacecolor="white",
            zorder=3,
        )
        points = _points(panel, name)
        axes.plot(
            [size for size, _ in points],
            [peak for _, peak in points],
            linestyle="none",
            color=style.color,
            marker=style.marker,
            markersize=_size(style),
            markeredgecolor="0.25",
            markeredgewidth=0.5,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("nodes")
    axes.set_title(panel.title, loc="left", fontweight="bold")
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    _label_bytes(axes)


def _size(style: Style) -> float:
    return 9.0 if style.marker == "*" else 6.0


def _label_bytes(axes: Axes) -> None:
    from matplotlib.ticker import (  # noqa: PLC0415
        FuncFormatter,
        LogLocator,
        NullFormatter,
    )

    def human(value: float, _: int) -> str:
        for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:g} {unit}"
        return f"{value:g} B"

    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(human))
    axes.yaxis.set_minor_formatter(NullFormatter())
