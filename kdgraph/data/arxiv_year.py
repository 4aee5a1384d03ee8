"""ogbn-arxiv with the year of a paper as its label."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import torch

from kdgraph.data._archive import Archive
from kdgraph.data._assemble import SPLITS, check_labels, check_splits
from kdgraph.data._download import default_root, find_placed
from kdgraph.data.graph import Graph
from kdgraph.data.ogb import load_ogb

_PLACE = "arxiv-year/arxiv-year.npz"
_FORM = "an .npz with y [N] and split [5, N] of 1, 2, 3 (train, valid, test)"


def load_arxiv_year(
    root: str | os.PathLike[str] | None = None, *, directed: bool = False
) -> Graph:
    """Read the citation graph of ``ogbn-arxiv`` with five classes of years.

    A graph with little homophily: Lim et al., "Large Scale Learning on Non-Homophilous
    Graphs", NeurIPS 2021. Labels and splits are read from
    ``root/arxiv-year/arxiv-year.npz``, of which the first split is taken, the graph as
    ``load_ogb`` finds it.

    Args:
        root: Folder of data sets, by default ``$KDGRAPH_DATA`` or
            ``~/.cache/kdgraph``.
        directed: Keep edges one way.

    Returns:
        The graph.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged or does not fit the graph.

    Example:
        >>> load_arxiv_year().num_classes  # doctest: +SKIP
        5
    """
    path = find_placed("arxiv-year", default_root(root), _PLACE, _FORM)
    with Archive(path) as archive:
        archive.require("y", "split")
        y, split = archive.read("y"), archive.read("split")
        if split.ndim != 2 or split.shape[1:] != y.shape or split.shape[0] == 0:
            raise archive.fault(
                f"split must have shape [5, N] to fit y of shape {list(y.shape)} (got "
                f"{list(split.shape)})",
                "copy it again",
            )
    graph = load_ogb("ogbn-arxiv", root, directed=directed)
    labels, num_classes = check_labels(y, graph.num_nodes, path)
    splits = {
        key: np.flatnonzero(split[0] == number)
        for number, key in enumerate(SPLITS, start=1)
    }
    check_splits(splits, graph.num_nodes, labels, path)
    train_idx, valid_idx, test_idx = (torch.from_numpy(splits[key]) for key in SPLITS)
    return dataclasses.replace(
        graph,
        name="arxiv-year",
        y=labels,
        train_idx=train_idx,
        valid_idx=valid_idx,
        test_idx=test_idx,
        num_classes=num_classes,
        notes=(*graph.notes, "first of the stored splits"),
    )
