"""Draw both scores of links against bytes; needs matplotlib, the extra ``bench``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.link_prediction.page import Outcome
from benchmarks.link_prediction.ranking import HITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Style(NamedTuple):
    """How a family looks.

    Args:
        label: In the legend.
        color: Of Okabe and Ito's.
        marker: Of its own, so that grey prints can be read too.
    """

    label: str
    color: str
    marker: str


FAMILIES: dict[str, Style] = {
    "kd-auto": Style("codes read off the graph (auto)", "#0072B2", "o"),
    "kd-random": Style("random codes", "#999999", "X"),
    "kd-": Style("learned codes", "#E69F00", "^"),
    "tensor-train": Style("tensor train", "#D55E00", "s"),
    "position": Style("positions", "#56B4E9", "D"),
    "low-rank": Style("low rank", "#CC79A7", "P"),
    "full": Style("full table", "#000000", "*"),
}
"""By the beginning of an experiment's name; the first that fits counts."""
LINE = "#009E73"
_SCORES = (("test_score", f"test Hits@{HITS} in %"), ("mrr", "test MRR in %"))
_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Ids in the file are drawn from this, and no longer at random.
    "svg.hashsalt": "kdgraph",
}


def family_of(name: str) -> Style:
    """The look of an experiment.

    Raises:
        ValueError: None fits.
    """
    for beginning, style in FAMILIES.items():
        if name.startswith(beginning):
            return style
    raise ValueError(f"no family of figures has experiment {name!r}")


def digest(found: Sequence[Outcome]) -> str:
    """Tells whether a figure shows these numbers."""
    numbers = [
        (
            one.name,
            one.label,
            one.result["inference_bytes"],
            *(one.result[key]["seeds"] for key, _ in _SCORES),
        )
        for one in found
        if one.result
    ]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def draw(found: Sequence[Outcome], title: str, path: Path) -> None:
    """Draw one graph, the same bytes of SVG for the same outcomes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415

    sound = [one for one in found if one.result]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(9.0, 3.6))
        panels = figure.subplots(1, 2)
        for axes, (key, label) in zip(panels, _SCORES, strict=True):
            _panel(axes, sound, key)
            axes.set_ylabel(label)
        panels[0].set_title(title, loc="left", fontweight="bold")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=4,
            frameon=False,
        )
        figure.tight_layout()
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": digest(found)},
        )


def _panel(axes: Axes, found: Sequence[Outcome], key: str) -> None:
    labelled: set[str] = set()
    for one in found:
        score, stored = one.result[key], one.result["inference_bytes"]
        if not stored:
            axes.axhline(
                100 * score["mean"], color=LINE, ls="--", lw=1.2, label=one.label
            )
            continue
        style = family_of(one.name)
        axes.errorbar(
            [stored],
            [100 * score["mean"]],
            yerr=[100 * score["std"]],
            label=None if style.label in labelled else style.label,
            color=style.color,
            marker=style.marker,
            markersize=12 if style.marker == "*" else 7,
            markeredgecolor="0.25",
            markeredgewidth=0.5,
            linestyle="none",
            elinewidth=0.8,
            capsize=2,
            zorder=4 if style.label.endswith("(auto)") else 3,
        )
        labelled.add(style.label)
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.1)
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("bytes to keep")
    _label_bytes(axes)


def _label_bytes(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415

    def human(value: float, _: int) -> str:
        for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:g} {unit}"
        return f"{value:g} B"

    axes.xaxis.set_major_formatter(FuncFormatter(human))
    axes.xaxis.set_minor_formatter(NullFormatter())
