"""One node-classification graph without features."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from kdgraph.data.stored_order import StoredOrder

if TYPE_CHECKING:
    Adjacency = sparse.csr_array[np.float32, tuple[int, int]]


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    r"""A graph, its labels and its split.

    Row :math:`v` of the adjacency holds the nodes whose messages :math:`v`
    receives: :math:`A_{vu} = 1`, or the weight, for every edge :math:`u \to v`. It is
    what PyG calls ``adj_t``.

    Args:
        name: What the graph is called in tables.
        adj: Adjacency, a square ``scipy.sparse.csr_array`` of float32 ones, or weights
            of at least 0, with sorted, distinct columns.
        y: Labels: class ids with -1 for unlabelled nodes, or float zeros and ones,
            one column per label.
        train_idx: Nodes trained on.
        valid_idx: Nodes used for selection.
        test_idx: Nodes reported on.
        num_classes: Number of classes, or of labels where there are many per node.
        directed: Whether edges were kept one way instead of symmetrised.
        notes: What a reader of results should know, e.g. dropped features.
        stored_order: The clusters in whose order nodes are stored, where they are.

    Shapes:
        - **adj:** :math:`(N, N)`
        - **y:** :math:`(N)` int64, or :math:`(N, T)` float32
        - **train_idx, valid_idx, test_idx:** one-dimensional int64

    Raises:
        TypeError: If ``adj`` is not sparse CSR or an index is not int64.
        ValueError: If the shapes do not fit together or an id is out of range.

    Example:
        >>> from kdgraph.data import sbm
        >>> graph = sbm(num_nodes=100, mean_degree=4, seed=0)
        >>> graph.num_nodes, graph.metric
        (100, 'accuracy')
    """

    name: str
    adj: Adjacency
    y: Tensor
    train_idx: Tensor
    valid_idx: Tensor
    test_idx: Tensor
    num_classes: int
    directed: bool = False
    notes: tuple[str, ...] = ()
    stored_order: StoredOrder | None = None

    def __post_init__(self) -> None:
        if not (sparse.issparse(self.adj) and self.adj.format == "csr"):
            raise TypeError(
                f"'Graph' expects 'adj' as a scipy.sparse CSR array (got "
                f"{type(self.adj).__name__}); call 'build_adjacency' on an edge list."
            )
        if self.adj.ndim != 2 or self.adj.shape[0] != self.adj.shape[1]:
            raise ValueError(
                f"'Graph' expects a square 'adj' (got shape {self.adj.shape})."
            )
        if self.y.dim() not in (1, 2) or self.y.size(0) != self.num_nodes:
            raise ValueError(
                f"'Graph' expects 'y' of shape [{self.num_nodes}] or "
                f"[{self.num_nodes}, T] (got {list(self.y.shape)})."
            )
        if self.y.is_floating_point() != self.multi_label:
            raise TypeError(
                "'Graph' expects int64 class ids of shape [N] or float zeros and "
                f"ones of shape [N, T] in 'y' (got {self.y.dtype} of shape "
                f"{list(self.y.shape)})."
            )
        for key in ("train_idx", "valid_idx", "test_idx"):
            self._check_idx(key, getattr(self, key))

    @property
    def num_nodes(self) -> int:
        """Number of nodes, N."""
        return int(self.adj.shape[0])

    @property
    def num_edges(self) -> int:
        """Number of stored entries of ``adj``; an undirected edge counts twice."""
        return int(self.adj.nnz)

    @cached_property
    def weighted(self) -> bool:
        """Whether an edge has another weight than 1."""
        data = self.adj.data
        if data.strides == (0,):  # one number for all, as graphs on disk have it
            data = data[:1]
        return bool((data != 1).any())

    @property
    def multi_label(self) -> bool:
        """Whether a node may carry several labels at once."""
        return self.y.dim() == 2

    @property
    def metric(self) -> str:
        """The usual score, ``'accuracy'``, or ``'micro-f1'`` for many labels."""
        return "micro-f1" if self.multi_label else "accuracy"

    def permuted(self, order: Tensor | NDArray[np.integer[Any]]) -> Graph:
        """Return the same graph with its nodes in another order.

        In partition order, neighbours lie close to each other in memory, and the row
        of a node tells its cluster.

        Args:
            order: The node that row i of the result is, for each i.

        Returns:
            A new graph; adjacency, labels and split follow the nodes.

        Shapes:
            - **order:** :math:`(N)`

        Raises:
            ValueError: If ``order`` does not hold every node once.

        Example:
            >>> from kdgraph.data import sbm
            >>> graph = sbm(num_nodes=100, seed=0)
            >>> moved = graph.permuted(np.arange(100)[::-1])
            >>> bool((moved.y == graph.y.flip(0)).all())
            True
        """
        rows = np.asarray(order)
        if rows.dtype.kind not in "iu" or not np.array_equal(
            np.sort(rows), np.arange(self.num_nodes)
        ):
            raise ValueError(
                f"'permuted' expects each id in [0, {self.num_nodes}) once in 'order' "
                f"(got {rows.dtype} of shape {list(rows.shape)})."
            )
        adj = self.adj[rows][:, rows]
        adj.sort_indices()
        nodes = torch.from_numpy(rows.astype(np.int64))
        rank = torch.empty_like(nodes)
        rank[nodes] = torch.arange(self.num_nodes)
        return dataclasses.replace(
            self,
            adj=adj,
            y=self.y[nodes],
            train_idx=rank[self.train_idx],
            valid_idx=rank[self.valid_idx],
            test_idx=rank[self.test_idx],
            stored_order=None,
        )

    def fingerprint(self) -> str:
        """Return a SHA-256 of structure, weights, labels and split.

        The name, the notes and the width of the index type do not enter, so the
        same graph read from two sources has one fingerprint. Nor do weights that are
        all 1, which are no weights.

        Returns:
            64 hexadecimal digits.

        Example:
            >>> from kdgraph.data import sbm
            >>> first, second = (sbm(num_nodes=100, seed=3) for _ in range(2))
            >>> first.fingerprint() == second.fingerprint()
            True
        """
        adj = self.adj
        if not adj.has_canonical_format:
            adj = adj.copy()
            adj.sum_duplicates()
        digest = hashlib.sha256()
        arrays: dict[str, NDArray[Any]] = {
            "indptr": adj.indptr,
            "indices": adj.indices,
            "y": self.y.cpu().numpy(),
            "train_idx": self.train_idx.cpu().numpy(),
            "valid_idx": self.valid_idx.cpu().numpy(),
            "test_idx": self.test_idx.cpu().numpy(),
        }
        if self.weighted:
            arrays["edge_weight"] = adj.data.astype(np.float32, copy=False)
        digest.update(f"directed={self.directed} classes={self.num_classes}".encode())
        for key, array in arrays.items():
            digest.update(f" {key}{array.shape}".encode())
            for block in _blocks(array):
                digest.update(block)
        return digest.hexdigest()

    def order_checksum(self) -> str:
        """Return a SHA-256 of the nodes' neighbours alone, by their ids.

        Labels and split do not enter, as they do in :meth:`fingerprint`: it says
        whether ids are those of a graph, and differs once nodes are in another order.

        Returns:
            64 hexadecimal digits.

        Example:
            >>> from kdgraph.data import sbm
            >>> graph = sbm(num_nodes=100, seed=0)
            >>> moved = graph.permuted(np.arange(100)[::-1])
            >>> graph.order_checksum() == moved.order_checksum()
            False
        """
        adj = self.adj
        if not adj.has_canonical_format:
            adj = adj.copy()
            adj.sum_duplicates()
        digest = hashlib.sha256()
        for array in (adj.indptr, adj.indices):
            for block in _blocks(array):
                digest.update(block)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, num_nodes={self.num_nodes}, "
            f"num_edges={self.num_edges}, num_classes={self.num_classes}, "
            f"directed={self.directed})"
        )

    def _check_idx(self, key: str, idx: Tensor) -> None:
        if idx.dtype != torch.int64 or idx.dim() != 1:
            raise TypeError(
                f"'Graph' expects {key!r} as one-dimensional int64 (got {idx.dtype} "
                f"of shape {list(idx.shape)}); turn a mask into ids with 'nonzero'."
            )
        if idx.numel() and not 0 <= int(idx.min()) <= int(idx.max()) < self.num_nodes:
            raise ValueError(
                f"'Graph' expects ids in [0, {self.num_nodes}) in {key!r} (got "
                f"{int(idx.min())} to {int(idx.max())})."
            )


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    # Fixed widths make the digest independent of the index type; blocks keep the
    # widened copy of a large array small.
    dtype = "<f4" if array.dtype.kind == "f" else "<i8"
    flat = array.reshape(-1)
    for start in range(0, flat.size, 1 << 22):
        yield flat[start : start + (1 << 22)].astype(dtype).tobytes()
