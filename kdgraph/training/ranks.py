"""Ranks: the processes that train together, of which there may be one."""

import os
import warnings
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from kdgraph.compat import leave_to_others

T = TypeVar("T")


class Ranks:
    """This process among those of ``torch.distributed``, or alone.

    What is exchanged is counted in ``sent``: bytes that this process gives, whatever
    way the backend takes them.

    Example:
        >>> ranks = Ranks()
        >>> ranks.size, ranks.total(torch.tensor([3.0])).tolist()
        (1, [3.0])
    """

    def __init__(self) -> None:
        together = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if together else 0
        self.size = distributed.get_world_size() if together else 1
        self.sent = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes for all."""
        return self.rank == 0

    def part(self, count: int, rank: int | None = None) -> slice:
        """Which of ``count`` things in a row are a process's, by default this one's."""
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, in the place of ``values``."""
        if self.size > 1:
            distributed.all_reduce(values)
            self.sent += values.numel() * values.element_size()
        return values

    def mean(self, value: float) -> float:
        """The mean over processes."""
        if self.size == 1:
            return value
        return float(self.total(torch.tensor([value], dtype=torch.float64))) / self.size

    def any(self, *, here: bool) -> bool:
        """Whether something holds in any process."""
        if self.size == 1:
            return here
        return bool(self.total(torch.tensor([float(here)])).item())

    def fill(self, rows: Tensor) -> Tensor:
        """Complete rows ``[B, ...]``, of which each process has made its part."""
        if self.size > 1:
            count = rows.size(0)
            for rank in range(self.size):
                distributed.broadcast(rows[self.part(count, rank)], rank)
            self.sent += rows[self.part(count)].numel() * rows.element_size()
        return rows

    def parallel(
        self, model: nn.Module, apart: Collection[nn.Parameter] = ()
    ) -> nn.Module:
        """The model with gradients averaged over processes; itself where it is alone.

        What is no parameter, codes above all, is the same everywhere and not sent.

        Args:
            model: The model.
            apart: Parameters whose gradients are left to :meth:`averaged`.
        """
        if self.size == 1:
            return model
        left_out = {id(parameter) for parameter in apart}
        names = [name for name, _ in model.named_buffers()]
        names += [name for name, p in model.named_parameters() if id(p) in left_out]
        leave_to_others(model, names)
        with warnings.catch_warnings():
            # It has another name in releases that earlier ones do not know.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is depre")
            return DistributedDataParallel(model, broadcast_buffers=False)

    def averaged(self, model: nn.Module, apart: Collection[nn.Parameter] = ()) -> None:
        """Average gradients of rows too; those of others :meth:`parallel` has averaged.

        Each process gives the rows of its part of the batch and gets those of the
        others, whatever the size of the table.

        Args:
            model: The model.
            apart: Parameters with sparse gradients.
        """
        if self.size == 1:
            return
        left_out = {id(parameter) for parameter in apart}
        for parameter in model.parameters():
            gradient = parameter.grad
            if id(parameter) in left_out:
                parameter.grad = self._mean_of_rows(parameter)
            elif gradient is not None:
                self.sent += gradient.numel() * gradient.element_size()

    def _mean_of_rows(self, parameter: nn.Parameter) -> Tensor:
        """The mean over processes of a sparse gradient."""
        rows = torch.empty(0, dtype=torch.int64, device=parameter.device)
        values = parameter.detach()[rows]
        if parameter.grad is not None:
            gradient = parameter.grad.coalesce()
            rows, values = gradient.indices()[0], gradient.values()
        rows, values = self._gathered(rows), self._gathered(values)
        return torch.sparse_coo_tensor(
            rows.unsqueeze(0),
            values.div_(self.size),
            parameter.shape,
            check_invariants=False,
        )

    def _gathered(self, own: Tensor) -> Tensor:
        """Rows of all processes, which may differ in how many they have."""
        counts = torch.zeros(self.size, dtype=torch.int64, device=own.device)
        counts[self.rank] = own.size(0)
        parts = [
            own if rank == self.rank else own.new_empty(count, *own.shape[1:])
            for rank, count in enumerate(self.total(counts).tolist())
        ]
        for rank, part in enumerate(parts):
            distributed.broadcast(part, rank)
        self.sent += own.numel() * own.element_size()
        return torch.cat(parts)

    def told(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, 0)
        return box[0]

    def once(self, make: Callable[[], T]) -> T:
        """What is worked out in the first process while the others wait.

        It gets the threads that it would have alone, on which the last bits of sums
        depend.
        """
        if self.size == 1:
            return make()
        made, threads = None, torch.get_num_threads()
        if self.first:
            torch.set_num_threads(_cores())
            try:
                made = make()
            finally:
                torch.set_num_threads(threads)
        told: T = self.told(made)
        return told


def _cores() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
