"""What the figures share: families of methods, their looks, and settings."""

from __future__ import annotations

from typing import Any, NamedTuple


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


FAMILIES: dict[str, tuple[Style, tuple[str, ...]]] = {
    "ours": (Style("codes read off the graph (auto)", "#0072B2", "o"), ("kd-auto",)),
    "learned": (
        Style("learned codes", "#E69F00", "^"),
        ("kd-", "dpq-", "random-projection"),
    ),
    "structure": (
        Style("structure: tensor train, positions", "#D55E00", "s"),
        ("tensor-train", "position", "cce"),
    ),
    "hash": (
        Style("hashing", "#999999", "X"),
        ("hashing", "bloom", "hash-embeddings", "qr-", "robe", "dhe"),
    ),
    "low-rank": (Style("low rank", "#CC79A7", "P"), ("low-rank",)),
    "quantised": (
        Style("table, quantised", "#56B4E9", "D"),
        ("int8", "int4", "pq", "opq", "rq"),
    ),
    "walks": (Style("random walks, frozen", "#F0E442", "v"), ("deepwalk", "node2vec")),
    "table": (Style("full table", "#000000", "*"), ("full", "correct")),
    "spread": (Style("label propagation", "#009E73", "_"), ("label-propagation",)),
}
"""By the beginning of an experiment's name; the first that fits counts."""

SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Ids in the file are drawn from this, and no longer at random.
    "svg.hashsalt": "kdgraph",
}
"""Of matplotlib."""


def family_of(name: str) -> str:
    """The family of an experiment.

    Raises:
        ValueError: None fits.

    Example:
        >>> family_of("kd-auto-50x"), family_of("kd-softmax")
        ('ours', 'learned')
    """
    for family, (_, beginnings) in FAMILIES.items():
        if name.startswith(beginnings):
            return family
    raise ValueError(f"no family of figures has experiment {name!r}")


def style_of(name: str) -> Style:
    """How the family of an experiment looks."""
    return FAMILIES[family_of(name)][0]
