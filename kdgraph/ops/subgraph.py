"""induced_subgraph: the edges among some nodes."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.ops import native_subgraph, reference_subgraph
from kdgraph.ops.arguments import check_index
from kdgraph.ops.backend import backend


class Subgraph(NamedTuple):
    """The edges among some nodes, which are numbered by their place.

    Args:
        row: The place of the source of each edge.
        col: The place of its target, ascending.
        edge: Which edge of the graph it is.
    """

    row: Tensor
    col: Tensor
    edge: Tensor


def induced_subgraph(rowptr: Tensor, col: Tensor, nodes: Tensor) -> Subgraph:
    r"""The edges whose source and target are both among some nodes.

    What :func:`torch_geometric.utils.subgraph` finds, which looks at every edge of the
    graph. This takes time and memory of the edges into the nodes alone, whatever the
    size of the graph, which may be mapped from a file. Edges come target by target in
    the order of the nodes, those of a target in the order of the graph: the same on any
    number of threads, compiled or in numpy.

    Args:
        rowptr: Where the edges of each target begin, ``[N + 1]``, ``int32`` or
            ``int64``.
        col: The source of each edge, ``[E]``, ``int32`` or ``int64``.
        nodes: Different nodes in any order, ``[B]``.

    Returns:
        The edges, ``int64``.

    Raises:
        TypeError: Tensors of another type.
        ValueError: A node that stands twice, or row pointers that fall or lead beyond
            the edges.
        IndexError: A node, or the source of an edge into one, out of range.

    Example:
        >>> rowptr, col = torch.tensor([0, 2, 3, 5]), torch.tensor([1, 2, 0, 0, 2])
        >>> found = induced_subgraph(rowptr, col, torch.tensor([2, 0]))
        >>> found.row.tolist(), found.col.tolist(), found.edge.tolist()
        ([1, 0, 0], [0, 0, 1], [3, 4, 1])
    """
    for index, name in ((rowptr, "rowptr"), (col, "col"), (nodes, "nodes")):
        check_index(index, name, "induced_subgraph")
    if rowptr.numel() == 0:
        raise ValueError(
            "induced_subgraph expects rowptr [N + 1] with at least its first entry, 0, "
            "got an empty one"
        )
    count = rowptr.numel() - 1
    nodes = nodes.to(torch.int64).contiguous()
    if nodes.numel() and not 0 <= int(nodes.min()) <= int(nodes.max()) < count:
        wrong = nodes[(nodes < 0) | (nodes >= count)][0]
        raise IndexError(
            f"induced_subgraph expects nodes in [0, {count}), got {int(wrong)}"
        )
    if backend("cpu") == "native":
        given = rowptr.contiguous(), col.contiguous(), nodes
        return Subgraph(*native_subgraph.induce(*given))
    found = reference_subgraph.induce(rowptr.numpy(), col.numpy(), nodes.numpy())
    return Subgraph(*(torch.from_numpy(part) for part in found))
