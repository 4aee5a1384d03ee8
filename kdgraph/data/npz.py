"""A graph anyone can bring: one ``.npz`` file."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from kdgraph.data._archive import Archive, Header
from kdgraph.data._assemble import SPLITS, assemble, check_edges, check_integers
from kdgraph.data.edge_weights import check_weight_header
from kdgraph.data.graph import Graph
from kdgraph.data.memory import build_bytes, require_memory

KEYS = ("edge_index", "num_nodes", "y", *SPLITS)
WEIGHTS = "edge_weight"
_FEATURES = ("x", "feat", "feats", "features", "node_feat", "node_features")
_MASKS = {
    "train_idx": ("train_mask", "train_masks"),
    "valid_idx": ("valid_mask", "valid_masks", "val_mask", "val_masks"),
    "test_idx": ("test_mask", "test_masks"),
}


def load_npz(
    path: str | os.PathLike[str], *, directed: bool = False, unweighted: bool = False
) -> Graph:
    """Read a graph from a file of plain arrays.

    ======================================  =========================================
    ``edge_index``                          [2, E] integers, source above target
    ``num_nodes``                           one positive integer, N
    ``y``                                   [N] class ids, -1 for unlabelled nodes;
                                            or [N, T] zeros and ones
    ``train_idx, valid_idx, test_idx``      node ids, non-empty and disjoint
    ``edge_weight``                         *(optional)* [E] numbers of at least 0
    ======================================  =========================================

    Any integer type will do. Weights are combined as :func:`build_adjacency` does it.
    Other arrays, such as input features, are not used, and ``notes`` names them.
    Pickled objects are never read.

    Args:
        path: The file.
        directed: Keep edges one way instead of symmetrising them.
        unweighted: Leave weights aside, and count every edge once.

    Returns:
        The graph, named after the file.

    Raises:
        ValueError: In one sentence that names the file, the fault and the remedy.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "path.npz")
        >>> np.savez(
        ...     path,
        ...     edge_index=[[0, 1], [1, 2]],
        ...     num_nodes=3,
        ...     y=[0, 1, 0],
        ...     train_idx=[0],
        ...     valid_idx=[1],
        ...     test_idx=[2],
        ... )
        >>> load_npz(path)
        Graph('path', num_nodes=3, num_edges=4, num_classes=2, directed=False)
    """
    with Archive(path) as archive:
        check_keys(archive)
        headers = {key: archive.header(key) for key in KEYS}
        num_nodes = read_num_nodes(archive)
        check_sizes(archive, headers, num_nodes)
        check_edge_header(archive, num_nodes)
        num_edges = headers["edge_index"].shape[1]
        read = sum(header.nbytes for header in headers.values())
        weighted = has_weights(archive, unweighted=unweighted)
        if weighted:
            # Sums in float64, where they go, and what is taken for a block.
            read += archive.header(WEIGHTS).nbytes + 16 * num_edges
        needed = read + build_bytes(num_nodes, num_edges) + 8 * headers["y"].nbytes
        require_memory(needed, archive.path)
        notes = describe_others(archive, weighted=weighted)
        edge_index = archive.read("edge_index")
        check_edges(edge_index, num_nodes, archive.path)
        edge_weight = archive.read(WEIGHTS) if weighted else None
        y = archive.read("y")
        splits = {key: archive.read(key) for key in SPLITS}
        where = archive.path
    return assemble(
        where.stem,
        edge_index,
        y,
        splits,
        num_nodes,
        where=where,
        directed=directed,
        notes=notes,
        edge_weight=edge_weight,
    )


def label_keys(archive: Archive) -> list[str]:
    """Return the names of labels, splits and masks that are there."""
    masks = (mask for names in _MASKS.values() for mask in names)
    return [key for key in ("y", *SPLITS, *masks) if key in archive]


def check_keys(archive: Archive) -> None:
    """Check that all arrays of a graph are there."""
    missing = [key for key in KEYS if key not in archive]
    if not missing:
        return
    remedy = f"an .npz graph holds {', '.join(KEYS)}"
    for key in missing:
        for mask in _MASKS.get(key, ()):
            if mask in archive:
                remedy = f"turn {mask} into ids with np.flatnonzero({mask})"
    raise archive.fault(f"{', '.join(missing)} missing", remedy)


def has_weights(archive: Archive, *, unweighted: bool) -> bool:
    """Return whether there are weights to use, after a look at shape and type.

    Raises:
        ValueError: In one sentence, if they are not a number for each edge.
    """
    if unweighted or WEIGHTS not in archive:
        return False
    header, edges = archive.header(WEIGHTS), archive.header("edge_index")
    check_weight_header(header.shape, header.dtype, edges.shape[-1], archive.path)
    return True


def describe_others(archive: Archive, *, weighted: bool) -> tuple[str, ...]:
    """Return a note on weights, on each array of input features, and on the rest."""
    features = [key for key in _FEATURES if key in archive]
    notes = [
        f"input features {list(archive.header(key).shape)} dropped" for key in features
    ]
    if weighted:
        notes.append(f"{WEIGHTS} is used")
    elif WEIGHTS in archive:
        notes.append(f"{WEIGHTS} is left aside")
    rest = sorted(set(archive.keys) - {*KEYS, WEIGHTS, *features})
    if rest:
        notes.append(f"not used: {', '.join(rest)}")
    return tuple(notes)


def read_num_nodes(archive: Archive) -> int:
    """Read and check ``num_nodes``."""
    header = archive.header("num_nodes")
    remedy = "store one positive integer"
    if header.shape not in ((), (1,)):
        raise archive.fault(
            f"num_nodes must be a single number (got shape {list(header.shape)})",
            remedy,
        )
    check_integers("num_nodes", header.dtype, archive.path)
    num_nodes = int(archive.read("num_nodes").reshape(-1)[0])
    if num_nodes < 1:
        raise archive.fault(f"num_nodes must be positive (got {num_nodes})", remedy)
    return num_nodes


def check_sizes(archive: Archive, headers: dict[str, Header], num_nodes: int) -> None:
    """Check labels and splits from the headers alone, before any is allocated."""
    shape = headers["y"].shape
    if len(shape) not in (1, 2) or shape[0] != num_nodes or 0 in shape:
        raise archive.fault(
            f"y must have shape [{num_nodes}] or [{num_nodes}, T] to fit num_nodes = "
            f"{num_nodes} (got {list(shape)})",
            "give one row per node",
        )
    for key in SPLITS:
        shape = headers[key].shape
        if headers[key].dtype.kind == "b":
            check_integers(key, headers[key].dtype, archive.path)
        if len(shape) == 1 and shape[0] > num_nodes:
            raise archive.fault(
                f"{key} holds {shape[0]} ids for num_nodes = {num_nodes}",
                "remove the duplicates",
            )


def check_edge_header(archive: Archive, num_nodes: int) -> None:
    """Check shape and type of ``edge_index`` before it is allocated."""
    # A stand-in of stride zero has the declared shape and type, but no memory.
    edges = archive.header("edge_index")
    if len(edges.shape) != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
        stand_in: NDArray[np.generic] = np.broadcast_to(
            np.zeros((), dtype=edges.dtype), edges.shape
        )
        check_edges(stand_in, num_nodes, archive.path)
