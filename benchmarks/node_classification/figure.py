"""Draw a panel; needs matplotlib, the extra ``bench``."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETDOWN
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.node_classification.panel import AUTO, LEARNED, READ, Panel, Point

APART = 0.1
"""Between experiments of the same bytes, as a share of them."""
WIDEST = 0.3
"""Between the first and the last of them, at most."""
ROOM = 6.0
"""Points of accuracy shown below the lowest of tables, auto and label propagation."""


class _Style(NamedTuple):
    color: str
    marker: str
    size: float


# Okabe and Ito's colours, and a shape for each so that grey prints can be read too.
_STYLES = {
    AUTO: _Style("#0072B2", "o", 6),
    READ: _Style("#56B4E9", "D", 5),
    LEARNED: _Style("#E69F00", "^", 6),
}
_TABLES = {
    "full": _Style("#000000", "*", 12),
    "full-labelprop": _Style("#D55E00", "s", 6),
    "full-diffusion": _Style("#CC79A7", "P", 7),
    "lowrank": _Style("#999999", "X", 7),
}
_LINE = "#009E73"
_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Ids in the file are drawn from this, and no longer at random.
    "svg.hashsalt": "kdgraph",
}


def draw(panel: Panel, path: Path) -> None:
    """Draw accuracy against bytes, the same bytes of SVG for the same panel."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(7.5, 4.0))
        axes = figure.subplots()
        _draw_points(axes, panel)
        _draw_axes(axes, panel)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, frameon=False
        )
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": panel.digest},
        )


def _draw_points(axes: Axes, panel: Panel) -> None:
    families: dict[str, list[Point]] = defaultdict(list)
    for point in panel.points:
        families[point.family].append(point)
    places, floor = _places(panel.points), _floor(panel.points)
    for family, members in families.items():
        if not any(point.bytes for point in members):
            axes.axhline(members[0].mean, color=_LINE, ls="--", lw=1.2, label=family)
            continue
        style = _STYLES[family] if family in _STYLES else _TABLES[members[0].name]
        for head in (False, True):
            chosen = [point for point in members if point.head == head]
            chosen.sort(key=lambda point: point.bytes)
            below = [point for point in chosen if point.mean < floor]
            chosen = [point for point in chosen if point.mean >= floor]
            if chosen:
                _draw_family(axes, chosen, places, style)
            axes.plot(
                [places[point.name] for point in below],
                [floor] * len(below),
                label=None if head or chosen or not below else family,
                linestyle="none",
                marker=CARETDOWN,
                color=style.color,
                markerfacecolor="white" if head else style.color,
                clip_on=False,
            )
    if any(point.head for point in panel.points):
        hollow = "hollow: with label head"
        axes.plot([], [], "o", color="0.3", markerfacecolor="white", label=hollow)


def _draw_family(
    axes: Axes, chosen: list[Point], places: dict[str, float], style: _Style
) -> None:
    head, curve = chosen[0].head, chosen[0].family == AUTO
    axes.errorbar(
        [places[point.name] for point in chosen],
        [point.mean for point in chosen],
        yerr=[point.std for point in chosen],
        label=None if head else chosen[0].family,
        color=style.color,
        marker=style.marker,
        markersize=style.size,
        markerfacecolor="white" if head else style.color,
        linestyle=(":" if head else "-") if curve else "none",
        linewidth=1.4,
        elinewidth=0.7,
        capsize=2,
        zorder=4 if curve else 3,
    )


def _places(points: Sequence[Point]) -> dict[str, float]:
    """Where experiments stand: those of the same bytes side by side."""
    same: dict[int, list[str]] = defaultdict(list)
    places: dict[str, float] = {}
    auto = {point.bytes for point in points if point.family == AUTO}
    for point in points:
        places[point.name] = point.bytes
        if point.family != AUTO and not point.head:
            same[point.bytes].append(point.name)
    for stored, names in same.items():
        step = min(APART, WIDEST / len(names))
        # The place in the middle is auto's, whose curve must not be bent.
        first = 1.0 if stored in auto else (1 - len(names)) / 2
        for index, name in enumerate(names):
            places[name] = stored * (1 + step * (first + index))
    return places


def _floor(points: Iterable[Point]) -> float:
    """Where the axis ends: a few far below would press the others together."""
    compared = [point.mean for point in points if point.family not in (READ, LEARNED)]
    return min(compared, default=0.0) - ROOM


def _draw_axes(axes: Axes, panel: Panel) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.06, y=0.08)
    lowest, highest = axes.get_ylim()
    spare = max(0.0, ROOM - (highest - lowest)) / 2
    axes.set_ylim(max(lowest - spare, _floor(panel.points)), highest + spare)
    axes.set_title(panel.title, loc="left", fontweight="bold")
    axes.set_xlabel("bytes kept after training")
    axes.set_ylabel(f"test {panel.metric} in %")
    axes.grid(color="0.9", lw=0.6)
    axes.set_axisbelow(True)

    def other(values: Any) -> Any:
        # The axis asks about 0 too.
        return panel.full_bytes / np.maximum(values, 1e-9)

    above = axes.secondary_xaxis("top", functions=(other, other))
    above.set_xlabel("times smaller than the full table", color="0.35")
    above.tick_params(colors="0.35")
    above.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    above.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _human(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _human(value: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
