"""Checks shared by every source, and the graph that passes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdgraph.data.edge_weights import check_weights
from kdgraph.data.edges import build_adjacency
from kdgraph.data.graph import Graph

SPLITS = ("train_idx", "valid_idx", "test_idx")


def assemble(
    name: str,
    edge_index: NDArray[Any],
    y: NDArray[Any],
    splits: Mapping[str, NDArray[Any]],
    num_nodes: int,
    *,
    where: object,
    directed: bool = False,
    notes: tuple[str, ...] = (),
    num_classes: int | None = None,
    edge_weight: NDArray[Any] | None = None,
) -> Graph:
    """Check the parts of a graph and put them together.

    Raises:
        ValueError: In one sentence that begins with ``where``.
    """
    check_edges(edge_index, num_nodes, where)
    if edge_weight is not None:
        check_weights(edge_weight, edge_index.shape[1], where)
    labels, found = check_labels(y, num_nodes, where)
    check_splits(splits, num_nodes, labels, where)
    if edge_index.dtype.kind == "f":  # an empty list without a type
        edge_index = edge_index.astype(np.int64)
    idx = {key: torch.from_numpy(splits[key].astype(np.int64)) for key in SPLITS}
    return Graph(
        name=name,
        adj=build_adjacency(
            edge_index, num_nodes, directed=directed, edge_weight=edge_weight
        ),
        y=labels,
        train_idx=idx["train_idx"],
        valid_idx=idx["valid_idx"],
        test_idx=idx["test_idx"],
        num_classes=found if num_classes is None else num_classes,
        directed=directed,
        notes=notes,
    )


def check_edges(edge_index: NDArray[Any], num_nodes: int, where: object) -> None:
    """Check shape, type and range of an edge list."""
    shape = list(edge_index.shape)
    if edge_index.ndim != 2 or shape[0] != 2:
        hint = "transpose it" if edge_index.ndim == 2 and shape[1] == 2 else "reshape"
        raise ValueError(
            f"{where}: edge_index must have shape [2, E] (got {shape}); {hint}, with "
            "sources in row 0 and targets in row 1."
        )
    if edge_index.size:
        check_ids("edge_index", edge_index, num_nodes, where)
    elif edge_index.dtype.kind not in "iuf":
        check_integers("edge_index", edge_index.dtype, where)


def check_integers(key: str, dtype: np.dtype[Any], where: object) -> None:
    """Check that an array of ids has an integer type."""
    if dtype.kind == "b":
        hint = "turn a mask into ids with np.flatnonzero"
    elif dtype.kind == "f":
        hint = "convert the ids with .astype('int64')"
    else:
        hint = "store plain integers"
    if dtype.kind not in "iu":
        raise ValueError(f"{where}: {key} must hold integers (got {dtype}); {hint}.")


def check_ids(key: str, ids: NDArray[Any], num_nodes: int, where: object) -> None:
    """Check type and range of node ids, before any cast could wrap them."""
    check_integers(key, ids.dtype, where)
    for value in (int(ids.min()), int(ids.max())):
        if not 0 <= value < num_nodes:
            raise ValueError(
                f"{where}: {key} holds the node id {value}, but num_nodes = "
                f"{num_nodes} allows 0 to {num_nodes - 1}; renumber the nodes or "
                "correct num_nodes."
            )


def check_splits(
    splits: Mapping[str, NDArray[Any]], num_nodes: int, y: Tensor, where: object
) -> None:
    """Check that the parts are non-empty, distinct, disjoint and labelled."""
    owner = np.zeros(num_nodes, dtype=np.uint8)
    for number, key in enumerate(SPLITS, start=1):
        idx = splits[key]
        if idx.ndim != 1:
            raise ValueError(
                f"{where}: {key} must be one-dimensional (got shape "
                f"{list(idx.shape)}); store a flat list of node ids."
            )
        if idx.dtype.kind == "b":
            check_integers(key, idx.dtype, where)
        if idx.size == 0:
            raise ValueError(f"{where}: {key} is empty; give it at least one node id.")
        check_ids(key, idx, num_nodes, where)
        idx = idx.astype(np.int64)
        taken = owner[idx]
        if taken.any():
            at = int(np.argmax(taken > 0))
            raise ValueError(
                f"{where}: {SPLITS[taken[at] - 1]} and {key} both hold the node id "
                f"{idx[at]}; make the three splits disjoint."
            )
        owner[idx] = number
        if np.count_nonzero(owner == number) != idx.size:
            values, counts = np.unique(idx, return_counts=True)
            twice = values[np.argmax(counts > 1)]
            raise ValueError(
                f"{where}: {key} holds the node id {twice} more than once; remove the "
                "duplicates."
            )
        if y.dim() == 1:
            bare = y.numpy()[idx] < 0
            if bare.any():
                node = idx[np.argmax(bare)]
                raise ValueError(
                    f"{where}: {key} holds the node id {node}, which is unlabelled "
                    "(y = -1); keep unlabelled nodes out of the splits."
                )


def check_labels(y: NDArray[Any], num_nodes: int, where: object) -> tuple[Tensor, int]:
    """Check labels and return them as a tensor with the number of classes."""
    if y.ndim not in (1, 2) or y.shape[0] != num_nodes or y.size == 0:
        raise ValueError(
            f"{where}: y must have shape [{num_nodes}] or [{num_nodes}, T] to fit "
            f"num_nodes = {num_nodes} (got {list(y.shape)}); give one row per node."
        )
    if y.dtype.kind not in ("iuf" if y.ndim == 1 else "iufb"):
        raise ValueError(
            f"{where}: y must hold integers (got {y.dtype}); number the classes from 0 "
            "and store them as int64."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(
            f"{where}: y holds {y[~np.isfinite(y)][0]}; store integers and mark "
            "unlabelled nodes with -1."
        )
    return _multi(y, where) if y.ndim == 2 else _single(y, num_nodes, where)


def _multi(y: NDArray[Any], where: object) -> tuple[Tensor, int]:
    wrong = (y != 0) & (y != 1)
    if wrong.any():
        raise ValueError(
            f"{where}: y of shape {list(y.shape)} must hold zeros and ones, one column "
            f"per label (got {y[wrong][0]}); store class ids with shape [N] instead."
        )
    return torch.from_numpy(y.astype(np.float32)), int(y.shape[1])


def _single(y: NDArray[Any], num_nodes: int, where: object) -> tuple[Tensor, int]:
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise ValueError(
            f"{where}: y holds {y[y != np.floor(y)][0]}, which is not an integer; "
            "number the classes from 0."
        )
    if y.dtype.kind != "u" and int(y.min()) < -1:
        raise ValueError(
            f"{where}: y holds {int(y.min())}, but a label is a class id from 0 or -1 "
            "for unlabelled; renumber the labels."
        )
    # A classifier has one output per class, so a stray id would ask for all below it.
    limit = max(num_nodes, 1 << 16)
    top = int(y.max())
    if top >= limit:
        raise ValueError(
            f"{where}: y holds the class id {top}, but ids below {limit} are expected; "
            "number the classes from 0 without gaps."
        )
    return torch.from_numpy(y.astype(np.int64)), max(top + 1, 0)
