"""Draw what codes mean; needs matplotlib, the extra ``bench``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.code_meaning.page import FEW_PAIRS, base_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Codes = dict[str, Any]
"""What :func:`benchmarks.code_meaning.task.measure` gives."""

# Okabe and Ito's colours.
BLUE, LINE, GREY = "#0072B2", "#D55E00", "0.75"
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
SHAPES = ("o", "s", "^", "D", "v", "P", "X")
GREYS = ("0.5", "0.95")
"""Once colours are used up: the same shapes, darker, and then white."""
AREA = 1500.0
"""Of all markers of a map together, in square points."""
SMALLEST = 9.0
"""Of a marker, so that its shape can be told."""
_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Ids in the file are drawn from this, and no longer at random.
    "svg.hashsalt": "kdgraph",
}


def look(rank: int) -> tuple[str, str]:
    """Colour and shape of the class that is as frequent as its rank says, from 0.

    No two of the first 21 are alike, and shapes alone tell the first seven apart.
    """
    turn, place = divmod(rank, len(SHAPES))
    if turn == 0:
        return COLORS[place], SHAPES[place]
    return GREYS[(turn - 1) % len(GREYS)], SHAPES[place]


def digest(kind: str, found: dict[str, Codes]) -> str:
    """Tells whether a figure shows these numbers."""
    said = json.dumps([kind, found])
    return hashlib.sha256(said.encode()).hexdigest()


def draw(kind: str, found: dict[str, Codes], title: str, path: Path) -> None:
    """Draw a figure, the same bytes of SVG for the same numbers."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_SETTINGS):
        figure = Figure()
        _KINDS[kind](figure, found)
        figure.suptitle(title, x=0.01, y=1.0, ha="left", va="bottom", fontweight="bold")
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={
                "Date": None,
                "Creator": None,
                "Description": digest(kind, found),
            },
        )


def _panels(
    figure: Figure,
    found: dict[str, Codes],
    height: float,
    *,
    columns: int = 2,
    sharey: bool = True,
) -> list[Axes]:
    """Some in a row, each with the label of its codes."""
    rows = math.ceil(len(found) / columns)
    figure.set_size_inches(8.5, height * rows + 0.3)
    panels = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).flat)
    for axes, label in zip(panels, found, strict=False):
        axes.set_title(label, loc="left", fontsize=9)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    return panels[: len(found)]


def _usage(figure: Figure, found: dict[str, Codes]) -> None:
    """Perplexity of each position inside of what is used at all."""
    panels = _panels(figure, found, 1.9)
    for axes, codes in zip(panels, found.values(), strict=True):
        use = codes["usage"]
        places = range(1, len(use["choices"]) + 1)
        effective = [
            100 * p / k for p, k in zip(use["perplexity"], use["choices"], strict=True)
        ]
        alive = [100 * (1 - dead) for dead in use["dead"]]
        axes.bar(
            places, alive, color="0.88", edgecolor="0.6", lw=0.6, label="used by a node"
        )
        axes.bar(
            places,
            effective,
            width=0.5,
            color=BLUE,
            label="used in effect (perplexity)",
        )
        axes.set_ylim(0, 105)
        axes.set_xticks(_ticks(len(places)))
        if len(set(use["choices"])) > 1 or len(places) <= 8:
            axes.set_xticks(
                list(places),
                [f"{i}\nK = {k}" for i, k in zip(places, use["choices"], strict=True)],
            )
    for axes in panels[::2]:
        axes.set_ylabel("% of the alphabet")
    for axes in panels[-2:]:
        axes.set_xlabel("position")
    figure.legend(*panels[0].get_legend_handles_labels(), **_BELOW)
    figure.tight_layout()


def _purity(figure: Figure, found: dict[str, Codes]) -> None:
    """The probability of one class, and how many pairs it is of."""
    panels = _panels(figure, found, 2.3)
    for axes, codes in zip(panels, found.values(), strict=True):
        pairs, same = codes["purity"]["pairs"], codes["purity"]["same"]
        most = max(pairs)
        sound = [d for d, count in enumerate(pairs) if count >= FEW_PAIRS]
        # The bars say how the pairs are spread; the scale of shares is for the line.
        axes.bar(
            range(len(pairs)),
            [30 * count / most for count in pairs],
            color="0.85",
            label="pairs at this distance (height: share of the most frequent)",
        )
        axes.axhline(
            100 * base_rate(codes), color=LINE, ls="--", lw=1.2, label="base rate"
        )
        axes.plot(
            sound,
            [100 * same[d] / pairs[d] for d in sound],
            color=BLUE,
            marker="o",
            markersize=4,
            lw=1.2,
            label="pairs of one class",
        )
        axes.set_ylim(0, 100)
        axes.set_xticks(_ticks(len(pairs), first=0))
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="0.92", lw=0.6)
    for axes in panels[::2]:
        axes.set_ylabel("of one class, %")
    for axes in panels[-2:]:
        axes.set_xlabel("positions that differ")
    figure.legend(*panels[0].get_legend_handles_labels(), **_BELOW)
    figure.tight_layout()


def _map(figure: Figure, found: dict[str, Codes]) -> None:
    """The codewords of a position of each encoder that has one to draw."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    drawn = {label: codes for label, codes in found.items() if codes["map"]}
    counts = next(iter(found.values()))["class_counts"]
    order = sorted(range(len(counts)), key=lambda one: -counts[one])
    ranks = {one: rank for rank, one in enumerate(order)}
    seen = {p["class"] for codes in drawn.values() for p in codes["map"]["points"]}
    panels = _panels(figure, drawn, 3.2, columns=3, sharey=False)
    for axes, (label, codes) in zip(panels, drawn.items(), strict=True):
        there = codes["map"]
        points = sorted(there["points"], key=lambda point: -point["nodes"])
        total = sum(point["nodes"] for point in points)
        for point in points:
            color, shape = ("white", "o")
            if point["class"] is not None:
                color, shape = look(ranks[point["class"]])
            axes.scatter(
                point["x"],
                point["y"],
                # Areas, so that sums of nodes can be compared by eye.
                s=max(AREA * point["nodes"] / total, SMALLEST),
                color=color,
                marker=shape,
                edgecolor="0.2",
                linewidth=0.5,
                alpha=0.9,
            )
        axes.set_title(
            f"{label}\nposition {there['position'] + 1}, {len(points)} codewords of "
            f"{points[-1]['nodes']:,} to {points[0]['nodes']:,} nodes\n"
            f"{100 * there['explained']:.0f} % of the variance",
            loc="left",
            fontsize=8,
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("first principal direction")
    panels[0].set_ylabel("second")
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=look(ranks[one])[1],
            markerfacecolor=look(ranks[one])[0],
            markeredgecolor="0.2",
            markeredgewidth=0.5,
            label=f"class {one}",
        )
        for one in order
        if one in seen
    ]
    if None in seen:
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markerfacecolor="white",
                markeredgecolor="0.2",
                markeredgewidth=0.5,
                label="trained on only",
            )
        )
    figure.legend(handles=handles, **(_BELOW | {"ncols": 6}))
    figure.tight_layout()


def _ticks(count: int, first: int = 1) -> list[int]:
    """Some ten round places at most."""
    step = next(one for one in (1, 2, 4, 8, 16) if count / one <= 12)
    start = first if first == 0 or step == 1 else step
    return list(range(start, first + count, step))


_BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, 0.0),
    "ncols": 3,
    "frameon": False,
}
_KINDS: dict[str, Callable[[Figure, dict[str, Codes]], None]] = {
    "usage": _usage,
    "purity": _purity,
    "map": _map,
}
