"""Draw validation scores and costs by epoch; needs matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.node_classification.outcome import Outcome
from benchmarks.node_classification.style import SETTINGS, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = (
    "full",
    "kd-auto-50x",
    "kd-softmax",
    "tensor-train-metis-50x",
    "low-rank-50x",
    "hashing-50x",
)
"""Experiments whose curves are drawn: one of each family."""
COLUMNS = 3


def digest(found: dict[str, Sequence[Outcome]]) -> str:
    """Tells whether a figure shows these curves."""
    numbers = [
        (dataset, one.name, one.result["curves"], one.result["seconds_per_epoch"])
        for dataset, here in found.items()
        for one in _shown(here)
    ]
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()


def draw(
    found: dict[str, Sequence[Outcome]], titles: dict[str, str], path: Path
) -> None:
    """Draw a panel for each graph, the same bytes of SVG for the same outcomes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, which the digest needs not
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = -(-len(found) // COLUMNS)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(3.3 * COLUMNS, 2.4 * rows + 0.3))
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, (dataset, here) in zip(panels, found.items(), strict=False):
            _panel(axes, _shown(here))
            axes.set_title(titles[dataset], loc="left", fontsize=9)
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        figure.supxlabel("epoch")
        figure.supylabel("validation score in %")
        labels = {}
        for axes in panels:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                labels.setdefault(label, handle)
        figure.tight_layout()
        figure.legend(
            labels.values(),
            labels.keys(),
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=3,
            frameon=False,
        )
        figure.savefig(
            path,
            format="svg",
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None, "Description": digest(found)},
        )


def _shown(found: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in found if one.seeds and one.name in SHOWN]


def _panel(axes: Axes, found: Sequence[Outcome]) -> None:
    for one in found:
        style = style_of(one.name)
        curve = mean_curve([seed["valid_scores"] for seed in one.result["curves"]])
        axes.plot(
            np.arange(1, curve.size + 1),
            100 * curve,
            color=style.color,
            marker=style.marker,
            markersize=5,
            markevery=max(1, curve.size // 5),
            markeredgecolor="0.25",
            markeredgewidth=0.4,
            lw=1.3,
            label=style.label,
        )
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)


def mean_curve(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """The mean over seeds, while all of them go on: they stop at epochs of their own.

    Example:
        >>> mean_curve([[0.0, 0.5, 0.7], [0.2, 0.7]])
        array([0.1, 0.6])
    """
    shortest = min(map(len, curves))
    return np.mean([curve[:shortest] for curve in curves], axis=0)
