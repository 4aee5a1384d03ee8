"""ShardedTable: a free vector per node, of which each process holds a part."""

import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from typing_extensions import override

from kdgraph.encoder import Encoder, Encoding
from kdgraph.training.ranks import Ranks


class Route(NamedTuple):
    """Who needs which rows of whom.

    Args:
        order: Of the ids ``[B]`` that this process needs, by owner.
        gives: Ids that it sends to each process.
        takes: Ids that it gets from each.
        rows: Of its own part, those which the others need, ``[sum(takes)]``.
    """

    order: Tensor
    gives: list[int]
    takes: list[int]
    rows: Tensor


class ShardedTable(Encoder):
    r"""A table of which each of R processes owns the rows of a range of nodes.

    To look rows up, a process sends ids to their owners and gets vectors; in the
    backward pass it sends gradients, which owners average as they would be over copies
    of one table. With :math:`u` rows that a process needs, it gives
    :math:`\frac{R - 1}{R} u (8 + 8 C)` bytes on average, and 8 to each other process.

    All processes look up at once and as often. The gradient of ``shard`` is sparse.
    As it differs between processes it is no registered parameter: one optimizer more,
    such as :class:`torch.optim.SparseAdam`, has to be given it.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        ranks: The processes; bytes given are counted there.

    Example:
        >>> table = ShardedTable(10, 4, Ranks())
        >>> table(torch.tensor([3, 1])).shape, table.shard.shape
        (torch.Size([2, 4]), torch.Size([10, 4]))
    """

    def __init__(self, num_nodes: int, embedding_dim: int, ranks: Ranks) -> None:
        super().__init__(num_nodes, embedding_dim)
        self.ranks = ranks
        starts = [rank * num_nodes // ranks.size for rank in range(1, ranks.size)]
        self.starts = torch.tensor(starts, dtype=torch.int64)
        own = ranks.part(num_nodes)
        self.start = own.start
        # Gradients of the network are averaged meanwhile; neither waits for the other.
        self.group = distributed.new_group() if ranks.size > 1 else None
        self.shard = torch.empty(own.stop - own.start, embedding_dim).requires_grad_()
        self.reset_parameters()

    @override
    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the whole table as one process does, and keep the own rows."""
        bound = math.sqrt(3) * math.sqrt(2 / (self.num_nodes + self.embedding_dim))
        ends = [0, *self.starts.tolist(), self.num_nodes]
        for rank, (start, end) in enumerate(itertools.pairwise(ends)):
            rows = torch.empty(end - start, self.embedding_dim).uniform_(-bound, bound)
            if rank == self.ranks.rank:
                self.shard.copy_(rows)

    @override
    def inference_bytes(self) -> int:
        """Exact bytes of the part that this process owns."""
        return self.shard.numel() * self.shard.element_size()

    @override
    def _encode(self, n_id: Tensor | None) -> Encoding:
        ids = torch.arange(self.num_nodes) if n_id is None else n_id
        rows: Tensor = _Rows.apply(self.shard, ids, self)  # type: ignore[no-untyped-call]
        return Encoding(rows, rows.new_zeros(()))

    def route(self, n_id: Tensor) -> Route:
        """Tell owners which rows are needed.

        Args:
            n_id: Ids ``[B]``; one that repeats is sent as often.
        """
        owner = torch.bucketize(n_id, self.starts, right=True)
        order = owner.argsort(stable=True)
        counts, each = owner.bincount(minlength=self.ranks.size), [1] * self.ranks.size
        gives, takes = counts.tolist(), self.exchanged(counts, each, each).tolist()
        wanted = self.exchanged(n_id[order], gives, takes)
        return Route(order, gives, takes, wanted - self.start)

    def exchanged(self, values: Tensor, gives: list[int], takes: list[int]) -> Tensor:
        """What the others have for this process, by rank.

        Args:
            values: What it has for them, by rank, ``[sum(gives), ...]``.
            gives: How many are for each.
            takes: How many come from each.
        """
        if self.ranks.size == 1:
            return values
        found = values.new_empty(sum(takes), *values.shape[1:])
        distributed.all_to_all_single(found, values, takes, gives, group=self.group)
        kept = values[: gives[self.ranks.rank]].numel()
        self.ranks.sent += (values.numel() - kept) * values.element_size()
        return found


class _Rows(torch.autograd.Function):
    """Vectors there and gradients back, along one route."""

    @staticmethod
    def forward(ctx: Any, shard: Tensor, n_id: Tensor, table: ShardedTable) -> Tensor:
        ctx.table, ctx.route = table, table.route(n_id)
        order, gives, takes, rows = ctx.route
        vectors = table.exchanged(shard[rows], takes, gives)
        return torch.empty_like(vectors).index_copy_(0, order, vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        table: ShardedTable = ctx.table
        order, gives, takes, rows = ctx.route
        values = table.exchanged(gradients[0][order], gives, takes)
        mean = torch.sparse_coo_tensor(
            rows.unsqueeze(0),
            values / table.ranks.size,
            table.shard.shape,
            check_invariants=False,
        )
        return mean, None, None
