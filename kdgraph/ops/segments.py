"""Segments: weighted sums of runs of rows, in plain torch."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from kdgraph.ops.straight_through import at_least_float32

RUN = 64
"""Rows that are summed one after the other: what rounding loses grows with the length
of a run, so that longer segments are summed run by run."""


class Segments:
    """Lists of rows to be summed, one after the other in one list.

    Args:
        pointers: Where each segment begins, and the last ends, ``int32`` ``[T + 1]``.

    Example:
        >>> segments = Segments(torch.tensor([0, 2, 2, 3], dtype=torch.int32))
        >>> index = torch.tensor([0, 1, 0], dtype=torch.int32)
        >>> segments.sum(torch.tensor([[1.0], [10.0]]), index, None).flatten()
        tensor([11.,  0.,  1.])
    """

    def __init__(self, pointers: Tensor) -> None:
        self.pointers = pointers
        self._of_runs: Segments | None = None
        counts = pointers.diff()
        if counts.numel() and int(counts.max()) > RUN:
            runs = (counts + RUN - 1) // RUN
            ends = runs.cumsum(0, dtype=torch.int32)
            number = torch.arange(int(ends[-1]), dtype=torch.int32, device=runs.device)
            first = pointers[:-1] - RUN * (ends - runs)
            begins = first.repeat_interleave(runs) + RUN * number
            self.pointers = torch.cat([begins, pointers[-1:]])
            self._of_runs = Segments(functional.pad(ends, (1, 0)))

    def sum(self, x: Tensor, index: Tensor, weight: Tensor | None) -> Tensor:
        """Sum the weighted rows of every segment.

        Args:
            x: Rows ``[N, C]``, in one piece.
            index: Which row each entry is, ``int32`` ``[E]``.
            weight: Of each entry, ``[E]``, or ``None`` for ones.

        Returns:
            ``[T, C]``; zeros for segments without entries.
        """
        if not index.numel():
            return x.new_zeros(self.pointers.numel() - 1, x.size(1))
        sums = functional.embedding_bag(
            index,
            x,
            self.pointers,
            mode="sum",
            per_sample_weights=None if weight is None else weight.to(x.dtype),
            include_last_offset=True,
        )
        if self._of_runs is None:
            return sums
        number = torch.arange(sums.size(0), dtype=torch.int32, device=sums.device)
        return self._of_runs.sum(sums, number, None)


def transpose(
    pointers: Tensor, index: Tensor, weight: Tensor | None, columns: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The transposed of a sparse matrix in CSR, by counting.

    Args:
        pointers: Where each row begins, and the last ends, ``[T + 1]``.
        index: The column of each entry, ``[E]``, below ``columns``.
        weight: Of each entry, ``[E]``, or ``None`` for ones.
        columns: Number of columns.

    Returns:
        Pointers ``[columns + 1]``, rows ``[E]`` and weights of the entries, column by
        column.

    Raises:
        IndexError: A column out of range.

    Example:
        >>> pointers, index = torch.tensor([0, 2, 3]), torch.tensor([1, 0, 1])
        >>> pointers, rows, _ = transpose(pointers.int(), index.int(), None, 2)
        >>> pointers.tolist(), rows.tolist()
        ([0, 1, 3], [0, 0, 1])
    """
    if index.numel():
        lowest, highest = (int(bound) for bound in torch.aminmax(index))
        if lowest < 0 or highest >= columns:
            raise IndexError(f"expected columns below {columns}, got {highest}")
    if index.device.type != "cpu":
        order = index.argsort(stable=True)
        rows = torch.arange(
            pointers.numel() - 1, dtype=torch.int32, device=index.device
        )
        every = torch.arange(columns + 1, dtype=index.dtype, device=index.device)
        return (
            torch.searchsorted(index[order], every).int(),
            rows.repeat_interleave(pointers.diff())[order],
            None if weight is None else weight[order],
        )
    if weight is None:
        entries = np.ones(index.numel(), np.int8)
    else:
        # numpy has no bfloat16, and scipy moves no halves; the way back is exact.
        entries = at_least_float32(weight).numpy()
    matrix = sparse.csr_array(
        (entries, index.numpy(), pointers.numpy()), (pointers.numel() - 1, columns)
    ).tocsc()
    return (
        torch.from_numpy(matrix.indptr),
        torch.from_numpy(matrix.indices),
        None if weight is None else torch.from_numpy(matrix.data).to(weight.dtype),
    )
