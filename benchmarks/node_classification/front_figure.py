"""Draw accuracy against bytes to keep and to train; needs matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.node_classification.outcome import Outcome, front
from benchmarks.node_classification.style import FAMILIES, SETTINGS, family_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 9.0
"""Points shown below the best table or rival, at least; what is lower is an arrow."""


_AXES = (("inference_bytes", "bytes to keep"), ("training_bytes", "bytes to train"))


def digest(found: Iterable[Outcome]) -> str:
    """Tells whether a figure shows these numbers."""
    numbers = [
        (one.name, one.inference_bytes, one.training_bytes, one.seeds)
        for one in found
        if one.seeds
    ]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def draw(found: Sequence[Outcome], title: str, path: Path) -> None:
    """Draw one graph, the same bytes of SVG for the same outcomes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415

    sound = [one for one in found if one.seeds]
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9.5, 4.3))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (cost, label) in zip(panels, _AXES, strict=True):
            _panel(axes, sound, cost)
            axes.set_xlabel(label)
        panels[0].set_ylabel(f"test {sound[0].result['metric']} in %")
        panels[0].set_title(title, loc="left", fontweight="bold")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=3,
            frameon=False,
        )
        figure.subplots_adjust(wspace=0.07, bottom=0.16)
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": digest(found)},
        )


def _panel(axes: Axes, found: Sequence[Outcome], cost: str) -> None:
    floor = _floor(found)
    families: dict[str, list[Outcome]] = defaultdict(list)
    for one in found:
        if getattr(one, cost):
            families[family_of(one.name)].append(one)
        else:
            axes.axhline(
                100 * one.mean,
                color=FAMILIES["spread"][0].color,
                ls="--",
                lw=1.2,
                label=one.label,
            )
    for family, members in families.items():
        style = FAMILIES[family][0]
        seen = [one for one in members if 100 * one.mean >= floor]
        axes.errorbar(
            [getattr(one, cost) for one in seen],
            [100 * one.mean for one in seen],
            yerr=[100 * (one.interval or 0.0) for one in seen],
            label=style.label,
            color=style.color,
            marker=style.marker,
            markersize=11 if style.marker == "*" else 6,
            markeredgecolor="0.25",
            markeredgewidth=0.5,
            linestyle="none",
            elinewidth=0.7,
            zorder=4 if family == "ours" else 3,
        )
        below = [getattr(one, cost) for one in members if 100 * one.mean < floor]
        axes.plot(
            below,
            [floor] * len(below),
            linestyle="none",
            marker="v",
            markersize=4,
            markerfacecolor="none",
            color=style.color,
            clip_on=False,
        )
    best = front([one for one in found if getattr(one, cost)], cost)
    axes.step(
        [getattr(one, cost) for one in best],
        [100 * one.mean for one in best],
        where="post",
        color="0.6",
        lw=0.9,
        zorder=2,
        label="Pareto front",
    )
    axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.set_ylim(bottom=floor)
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    _label_bytes(axes)


def _floor(found: Sequence[Outcome]) -> float:
    """Where the axis ends: a few far below would press the others together."""
    scores = sorted(100 * one.mean for one in found)
    return max(scores[0] - 1.0, scores[-1] - 2.5 * ROOM)


def _label_bytes(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415

    def human(value: float, _: int) -> str:
        for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:g} {unit}"
        return f"{value:g} B"

    axes.xaxis.set_major_formatter(FuncFormatter(human))
    axes.xaxis.set_minor_formatter(NullFormatter())
