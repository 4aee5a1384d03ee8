"""Graphs as CSR by target with int32 columns: drawn fast, or read from a data set."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.message_passing.setting import CLASSES, Setting
from kdgraph.data import gcn_norm, load_graph

_EXPONENT = 2.5
_HUB = 1000
_TRAINED = 0.54


class Arrays(NamedTuple):
    """A graph with everything that is read on it.

    Args:
        rowptr: Where the edges of each target begin, ``int32`` ``[N + 1]``.
        col: The source of each edge, ``int32`` ``[E]``, in no order within a target.
        weight: ``float32`` ``[E]``.
        y: A class per node, ``int64`` ``[N]``.
        train_idx: Nodes that are trained on, ``int64``.
    """

    rowptr: NDArray[np.int32]
    col: NDArray[np.int32]
    weight: NDArray[np.float32]
    y: NDArray[np.int64]
    train_idx: NDArray[np.int64]


def draw_graph(setting: Setting) -> Arrays:
    r"""Draw a graph of the setting's nodes, edges and degrees.

    ``"uniform"`` draws both ends of every edge evenly. ``"power-law"`` draws degrees
    whose expectation falls with the exponent 2.5 and joins the two ends of edges at
    random, so that a node is read as often as it reads (a directed configuration
    model). Loops and repeated edges stay: there are few, and nothing here minds them.
    Ids say nothing about who is joined to whom, so neighbours do not lie near by.

    Weights are those of a graph convolution, :math:`(d_v d_u)^{-1/2}` with in-degrees
    of at least one. Memory is 16 bytes per edge and 16 per node.
    """
    nodes, edges = setting.num_nodes, setting.num_edges
    rng = np.random.default_rng(setting.seed)
    if setting.degrees == "uniform":
        drawn = rng.integers(nodes, size=edges, dtype=np.int32)
        degree = np.bincount(drawn, minlength=nodes)
        del drawn
        col = rng.integers(nodes, size=edges, dtype=np.int32)
    else:
        share = np.minimum(rng.random(nodes) ** (-1.0 / (_EXPONENT - 1.0)), _HUB)
        degree = rng.multinomial(edges, share / share.sum())
        col = np.repeat(np.arange(nodes, dtype=np.int32), degree)
        rng.shuffle(col)
    rowptr = np.zeros(nodes + 1, dtype=np.int32)
    np.cumsum(degree, out=rowptr[1:])
    scale = (np.maximum(degree, 1) ** -0.5).astype(np.float32)
    weight = np.repeat(scale, degree)
    weight *= scale[col]
    y = rng.integers(CLASSES, size=nodes)
    train_idx = np.flatnonzero(rng.random(nodes) < _TRAINED)
    return Arrays(rowptr, col, weight, y, train_idx)


def read_arxiv(root: Path | None) -> Arrays | None:
    """ogbn-arxiv, normalised; ``None`` where it is not to be had."""
    try:
        graph = load_graph("ogbn-arxiv", root)
    except FileNotFoundError:
        return None
    adj = gcn_norm(graph.adj)
    return Arrays(
        adj.indptr.astype(np.int32),
        adj.indices.astype(np.int32),
        adj.data,
        graph.y.numpy(),
        graph.train_idx.numpy(),
    )


def write_arrays(folder: Path, arrays: Arrays, setting: Setting) -> None:
    """Leave the graph, its codes and its codebooks for other processes."""
    for name, array in arrays._asdict().items():
        np.save(folder / f"{name}.npy", array)
    rng = np.random.default_rng(setting.seed + 1)
    nodes, positions = setting.num_nodes, setting.num_codebooks
    size, width = setting.codebook_size, setting.channels // positions
    codes = rng.integers(size, size=(nodes, positions), dtype=np.uint8)
    books = rng.standard_normal((positions, size, width), dtype=np.float32)
    n_id = rng.integers(nodes, size=setting.gathered)
    for name, array in (("codes", codes), ("codebooks", books), ("n_id", n_id)):
        np.save(folder / f"{name}.npy", array)
    setting.save(folder)
