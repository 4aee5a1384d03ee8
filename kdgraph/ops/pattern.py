"""Pattern: who sends to whom, target by target and source by source."""

import torch
from torch import Tensor

from kdgraph.ops.tensor_cache import lasting


class Pattern:
    r"""The places of a sparse matrix that are not zero, in CSR.

    Rows are targets and columns sources, PyG's ``adj_t``. Indices are kept as
    ``int32`` where that is enough. The same by source, which gradients are summed
    along, is worked out when it is first asked for, and shares memory where the pattern
    is symmetric.

    Args:
        rowptr: Where the edges of each target begin, and the last end, ``[M + 1]``.
        col: The source of each edge, ``[E]``.
        num_sources: Number of sources N.
        order: Which edge of a list each came from, ``[E]``, or ``None`` where the list
            was in order. (default: ``None``)

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 0, 1]])
        >>> pattern = Pattern.of_edges(edge_index[0], edge_index[1], (3, 2))
        >>> pattern.rowptr.tolist(), pattern.col.tolist()
        ([0, 1, 3], [1, 0, 2])
        >>> [part.tolist() for part in pattern.transposed]
        [[0, 1, 2, 3], [1, 0, 1], [1, 0, 2]]
    """

    def __init__(
        self,
        rowptr: Tensor,
        col: Tensor,
        num_sources: int,
        order: Tensor | None = None,
    ) -> None:
        self.rowptr = narrow(rowptr, col.numel())
        self.col = narrow(col, num_sources)
        self.num_sources = num_sources
        self.order = None if order is None else narrow(order, col.numel())
        self._target: Tensor | None = None
        self._transposed: tuple[Tensor, Tensor, Tensor] | None = None

    @classmethod
    def of_edges(
        cls, source: Tensor, target: Tensor, size: tuple[int, int]
    ) -> "Pattern":
        """The pattern of a list of edges in any order.

        Args:
            source: ``[E]``.
            target: ``[E]``.
            size: Number of sources, number of targets.

        Raises:
            IndexError: A source or a target out of range. Checked on the CPU, outside
                of compiled code.
        """
        check_nodes(source, size[0], "sources")
        check_nodes(target, size[1], "targets")
        order: Tensor | None = None
        if torch.compiler.is_compiling() or bool((target[1:] < target[:-1]).any()):
            order = target.argsort(stable=True)
            source, target = source[order], target[order]
        return cls(_pointers(target, size[1]), source.clone(), size[0], order)

    @property
    def num_targets(self) -> int:
        """Number of targets M."""
        return self.rowptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Number of edges E."""
        return self.col.numel()

    @property
    def degree(self) -> Tensor:
        """Edges of each target, ``[M]``."""
        return self.rowptr[1:] - self.rowptr[:-1]

    @property
    def target(self) -> Tensor:
        """The target of each edge, ``[E]``."""
        if self._target is None:
            with lasting():
                nodes = torch.arange(
                    self.num_targets, device=self.col.device, dtype=self.rowptr.dtype
                )
                self._target = nodes.repeat_interleave(
                    self.degree, output_size=self.num_edges
                )
        return self._target

    @property
    def transposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointers, columns and the place here of each edge, source by source."""
        if self._transposed is None:
            with lasting():
                self._transposed = self._transpose()
        return self._transposed

    def _transpose(self) -> tuple[Tensor, Tensor, Tensor]:
        order = self.col.argsort(stable=True)
        rowptr = narrow(_pointers(self.col[order], self.num_sources), self.num_edges)
        col = narrow(self.target[order], self.num_targets)
        if self._is(rowptr, col):
            rowptr, col = self.rowptr, self.col
        return rowptr, col, narrow(order, self.num_edges)

    def _is(self, rowptr: Tensor, col: Tensor) -> bool:
        if torch.compiler.is_compiling() or self.num_targets != self.num_sources:
            return False
        return torch.equal(rowptr, self.rowptr) and torch.equal(col, self.col)


def narrow(index: Tensor, bound: int) -> Tensor:
    """Integers up to a bound as ``int32`` where that holds them, in half the memory.

    Compiled code keeps their type: how many edges are left once loops were removed is
    not known there.
    """
    if torch.compiler.is_compiling():
        return index
    fits = bound <= torch.iinfo(torch.int32).max
    return index.to(torch.int32 if fits else torch.int64)


def check_nodes(index: Tensor, count: int, what: str) -> None:
    """Check the ends of edges, on the CPU and outside of compiled code.

    Raises:
        IndexError: An end outside ``[0, count)``.
    """
    if torch.compiler.is_compiling() or index.device.type != "cpu":
        return
    if index.numel() == 0:
        return
    lowest, highest = (int(bound) for bound in torch.aminmax(index))
    if lowest < 0 or highest >= count:
        raise IndexError(
            f"edges expect {what} in [0, {count}), got some from {lowest} to {highest}"
            "; is edge_index that of other nodes, or of global ids?"
        )


def _pointers(ascending: Tensor, count: int) -> Tensor:
    """Where each of ``count`` numbers begins in an ascending list."""
    every = torch.arange(count + 1, device=ascending.device, dtype=ascending.dtype)
    return torch.searchsorted(ascending.contiguous(), every)
