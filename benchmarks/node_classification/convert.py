"""``python -m benchmarks.node_classification.convert NAME --root DIR``.

Two graphs of OGB that ``kdgraph train`` has no name for, as files it takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from kdgraph.atomic import replacing

Arrays = dict[str, Any]


def proteins(graph: dict[str, Any], labels: Any, split: dict[str, Any]) -> Arrays:
    """``ogbn-proteins``: 112 labels a node, edges without what OGB says of them.

    OGB scores it by ROC-AUC; a file is scored by micro-F1, so that figures do not
    compare with its leaderboard.
    """
    return {
        "edge_index": graph["edge_index"],
        "num_nodes": graph["num_nodes"],
        "y": np.asarray(labels, dtype=np.int64),
        "train_idx": split["train"],
        "valid_idx": split["valid"],
        "test_idx": split["test"],
    }


def mag(graph: dict[str, Any], labels: Any, split: dict[str, Any]) -> Arrays:
    """``ogbn-mag``: nodes of all types side by side, edges of all types alike.

    Papers have a venue as their class, and come first; all others are unlabelled.
    """
    counts = dict(
        sorted(graph["num_nodes_dict"].items(), key=lambda one: _later(one[0]))
    )
    begins, total = {}, 0
    for kind, count in counts.items():
        begins[kind], total = total, total + int(count)
    edges = [
        np.stack([ends[0] + begins[source], ends[1] + begins[target]])
        for (source, _, target), ends in sorted(graph["edge_index_dict"].items())
    ]
    y = np.full(total, -1, dtype=np.int64)
    y[: counts["paper"]] = np.asarray(labels["paper"]).ravel()
    return {
        "edge_index": np.concatenate(edges, axis=1),
        "num_nodes": total,
        "y": y,
        "train_idx": split["train"]["paper"],
        "valid_idx": split["valid"]["paper"],
        "test_idx": split["test"]["paper"],
    }


CONVERSIONS = {"ogbn-proteins": proteins, "ogbn-mag": mag}


def main() -> None:
    """Read a graph with ``ogb``, and write it as ``DIR/NAME.npz``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONVERSIONS)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    from ogb.nodeproppred import NodePropPredDataset  # noqa: PLC0415 - loud, and an extra

    data = NodePropPredDataset(arguments.name, root=str(arguments.root))
    arrays = CONVERSIONS[arguments.name](*data[0], data.get_idx_split())
    path = arguments.root / f"{arguments.name}.npz"
    with replacing(path) as file:
        np.savez(file, **arrays)
    print(path)


def _later(kind: str) -> tuple[bool, str]:
    return kind != "paper", kind


if __name__ == "__main__":
    main()
