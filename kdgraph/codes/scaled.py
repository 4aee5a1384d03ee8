"""ScaledAdjacency: products with a graph, in blocks of rows and at half precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kdgraph.codes.structure import Structure

_BLOCK_ENTRIES = 1 << 21
_BLOCK_ROWS = 1 << 17


@dataclass(frozen=True)
class ScaledAdjacency:
    r"""The matrix :math:`M_{uv} = r_u A_{uv} c_v` on the edges, or its logarithm.

    Its entries are computed block by block and never exist at once.

    Args:
        graph: What :func:`kdgraph.codes.structure.read_structure` gives: symmetric.
        row: Factors r, float32 ``[N]``.
        col: Factors c, float32 ``[N]``; ``None`` stands for ones, and is faster.
        logarithm: Whether the matrix holds logarithms. (default: ``False``)

    Example:
        >>> from scipy import sparse
        >>> graph = sparse.csr_array(np.array([[0, 2], [2, 0]], dtype=np.float32))
        >>> one, ten = np.ones(2, np.float32), np.array([1, 10], np.float32)
        >>> ScaledAdjacency(graph, row=one, col=ten).matmul(torch.eye(2)).tolist()
        [[0.0, 20.0], [2.0, 0.0]]
    """

    graph: Structure
    row: NDArray[np.float32]
    col: NDArray[np.float32] | None = None
    logarithm: bool = False

    def matmul(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """M x, in the type of x; float16 and bfloat16 are summed in float32.

        Shapes:
            - **x, out, output:** ``[N, C]``
        """
        out = torch.empty_like(x) if out is None else out
        for rows, block in self.blocks(x):
            out[rows] = block
        return out

    def blocks(self, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """M x, a block of rows after the other."""
        for rows in _row_blocks(self.graph.indptr):
            pointers = self.graph.indptr[rows.start : rows.stop + 1]
            entries = slice(int(pointers[0]), int(pointers[-1]))
            # Columns mapped from a file may be read-only, which torch does not take.
            indices = np.require(self.graph.indices[entries], requirements="W")
            # Twice as fast as a product with a torch.sparse tensor, and the only one
            # that reads half precision and int32 on the CPU.
            yield (
                rows,
                functional.embedding_bag(
                    torch.from_numpy(indices),
                    x,
                    torch.from_numpy((pointers - pointers[0]).astype(indices.dtype)),
                    mode="sum",
                    per_sample_weights=self._weights(rows, entries).to(x.dtype),
                    include_last_offset=True,
                ),
            )

    def _weights(self, rows: slice, entries: slice) -> Tensor:
        counts = np.diff(self.graph.indptr[rows.start : rows.stop + 1])
        weights = np.repeat(self.row[rows], counts)
        weights *= self.graph.data[entries]
        if self.col is not None:
            weights *= self.col[self.graph.indices[entries]]
        return torch.from_numpy(np.log(weights) if self.logarithm else weights)


def _row_blocks(indptr: NDArray[np.integer]) -> Iterator[slice]:
    """Runs of rows with a bounded number of rows and, but for single rows, entries."""
    nodes, start = len(indptr) - 1, 0
    while start < nodes:
        full = int(np.searchsorted(indptr, indptr[start] + _BLOCK_ENTRIES, "right"))
        stop = min(nodes, start + _BLOCK_ROWS, max(start + 1, full - 1))
        yield slice(start, stop)
        start = stop
