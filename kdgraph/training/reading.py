"""Reading: what a method reads off a graph before it is trained."""

from typing import NamedTuple

from torch import Tensor

from kdgraph.codes import CodeTable


class Reading(NamedTuple):
    """What a method reads off a graph; empty for those that read nothing.

    Args:
        codes: Of each node, by row.
        rows: ``int64`` ``[N]``, the node that each row stands for; ``None`` where row
            and node are the same.
        vectors: ``[N, C]``, of each node.
    """

    codes: CodeTable | None = None
    rows: Tensor | None = None
    vectors: Tensor | None = None
