"""Reading: what a method reads off a graph before it is trained."""

from typing import NamedTuple

from torch import Tensor

from kdgraph.codes import CodeTable
from kdgraph.codes.place_map import map_bytes


class Reading(NamedTuple):
    """What a method reads off a graph; empty for those that read nothing.

    Args:
        codes: Of each node, by the ids of the graph.
        rows: ``int64`` ``[N]``, the node at each place of the order in which nodes are
            trained; ``None`` where they are trained as they are stored.
        vectors: ``[N, C]``, of each node.
        stored_in_order: Whether the graph is stored in the order that is needed, so
            that there is no map from its ids to places.
    """

    codes: CodeTable | None = None
    rows: Tensor | None = None
    vectors: Tensor | None = None
    stored_in_order: bool = False

    @property
    def map_bytes(self) -> int:
        """Bytes of the map from the ids of the graph to places, if it needs one."""
        return 0 if self.rows is None else map_bytes(self.rows.numel())

    def in_order(self) -> "Reading":
        """The same for the graph in the order of ``rows``, whose ids are places."""
        if self.codes is None or self.rows is None:
            return self
        return self._replace(codes=self.codes.reordered(self.rows))
