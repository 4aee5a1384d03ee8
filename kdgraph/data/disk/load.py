"""A graph on disk as a ``Graph``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from kdgraph.data._assemble import SPLITS
from kdgraph.data.disk.layout import fault, read_meta
from kdgraph.data.disk.order import map_order
from kdgraph.data.disk.reader import DiskCSR, map_csr, map_part
from kdgraph.data.graph import Graph
from kdgraph.data.stored_order import StoredOrder

if TYPE_CHECKING:
    from kdgraph.data.graph import Adjacency


def load_disk(
    folder: str | os.PathLike[str], *, directed: bool = False, unweighted: bool = False
) -> Graph:
    """Open a graph that :func:`prepare_graph` wrote.

    Columns, weights and labels are mapped from their files, and ones in their place are
    a single number, so that opening takes milliseconds and the row starts in memory.
    What computes on the whole graph still makes copies of its own; :func:`open_csr`
    is for what does not.

    Args:
        folder: The folder.
        directed: Insist on edges one way; which it is was decided when preparing.
        unweighted: Leave weights aside.

    Returns:
        The graph, named after the folder.

    Raises:
        ValueError: In one sentence, if the folder is no graph on disk, is damaged, or
            holds no labels, or edges both ways where ``directed``.
    """
    path = Path(folder).expanduser()
    meta = read_meta(path)
    if directed and not meta.directed:
        raise fault(
            path,
            "the graph was prepared with its edges both ways",
            "prepare it again with --directed, or leave --directed out",
        )
    missing = [key for key in ("y", *SPLITS) if key not in meta.parts]
    if missing or meta.num_classes is None:
        raise fault(
            path,
            f"{', '.join(missing) or 'num_classes'} missing",
            "prepare it from an input with labels and splits, or read the structure "
            "alone with open_csr",
        )
    csr, notes = map_csr(path, meta), meta.notes
    if unweighted and csr.weight is not None:
        csr, notes = replace(csr, weight=None), (*notes, "weights are left aside")
    order = map_order(path, meta)
    # Private pages, since torch takes no array that it may not write to.
    y, train_idx, valid_idx, test_idx = (
        torch.from_numpy(map_part(path, meta, key, "c")) for key in ("y", *SPLITS)
    )
    return Graph(
        name=path.resolve().name,
        adj=adjacency_of(csr),
        y=y,
        train_idx=train_idx,
        valid_idx=valid_idx,
        test_idx=test_idx,
        num_classes=meta.num_classes,
        directed=meta.directed,
        notes=notes + _order_note(order),
        stored_order=order,
    )


def _order_note(order: StoredOrder | None) -> tuple[str, ...]:
    if order is None:
        return ()
    return (f"stored in the order {order}: ids are places, see original_ids.npy",)


def adjacency_of(csr: DiskCSR) -> Adjacency:
    """The adjacency of a graph on disk, its columns mapped."""
    adj: Any = sparse.csr_array((csr.num_nodes, csr.num_nodes), dtype=np.float32)
    # Assigned, since the constructor would widen the columns where they are narrower
    # than the row starts have to be.
    narrow = csr.num_edges < 1 << 31
    adj.indptr = csr.rowptr.astype(csr.col.dtype) if narrow else csr.rowptr
    adj.indices = csr.col.view(np.ndarray)
    adj.data = np.broadcast_to(np.float32(1), csr.num_edges)
    if csr.weight is not None:
        adj.data = csr.weight.view(np.ndarray)
    adj.has_canonical_format = True
    adjacency: Adjacency = adj
    return adjacency
