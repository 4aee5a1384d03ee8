"""sample_neighbors: a few random neighbours of some nodes, of those, and so on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdgraph.ops import native_sampling, reference_sampling
from kdgraph.ops.arguments import check_index
from kdgraph.ops.backend import backend
from kdgraph.ops.sampled import Sampled

_WEIGHTS = (torch.float32, torch.float64)


def sample_neighbors(
    rowptr: Tensor,
    col: Tensor,
    seeds: Tensor,
    num_neighbors: Sequence[int],
    *,
    replace: bool = False,
    seed: int = 0,
    weight: Tensor | None = None,
    disjoint: bool = False,
) -> Sampled:
    r"""Draw neighbours of some nodes, hop by hop (Hamilton et al., NeurIPS 2017).

    Each node that a hop added gets ``num_neighbors`` of its sources in the next, each
    set of them as likely as any other; all, where it has no more. A node stands once in
    the result, however often it is drawn. It takes time and memory of what is drawn
    alone, whatever the size of the graph, which may be mapped from a file.

    What a node draws follows from the seed and its id alone: it is the same whatever
    else is drawn, on any number of threads, compiled or in numpy.

    Args:
        rowptr: Where the edges of each target begin, ``[N + 1]``, ``int32`` or
            ``int64``.
        col: The source of each edge, ``[E]``, ``int32`` or ``int64``.
        seeds: Nodes to begin with, ``[B]``; one that stands twice stays twice.
        num_neighbors: How many to draw at each hop; -1 for all.
        replace: Whether an edge may be drawn more than once; then each node with any
            gets as many as asked for. (default: ``False``)
        seed: Of what is drawn. (default: ``0``)
        weight: Of each edge, at least 0, ``[E]``: edges are drawn in proportion to it,
            and never with 0; -1 neighbours are all. In numpy. (default: ``None``)
        disjoint: Whether every seed gets a graph of its own, with copies of the nodes
            that others have too. In numpy. (default: ``False``)

    Returns:
        What was drawn.

    Raises:
        TypeError: Tensors of another type.
        ValueError: No hop, one with a number that is neither positive nor -1, or
            weights that are not one per edge, finite and at least 0.
        IndexError: A seed or a source out of range.

    Example:
        >>> rowptr, col = torch.tensor([0, 2, 3, 3]), torch.tensor([1, 2, 0])
        >>> drawn = sample_neighbors(rowptr, col, torch.tensor([0]), [2, 1])
        >>> drawn.node.tolist(), drawn.row.tolist(), drawn.col.tolist()
        ([0, 1, 2], [1, 2, 0], [0, 0, 1])
        >>> drawn.num_nodes, drawn.num_edges
        ([1, 2, 0], [2, 1])
    """
    for index, name in ((rowptr, "rowptr"), (col, "col"), (seeds, "seeds")):
        check_index(index, name, "sample_neighbors")
    fanouts = check_num_neighbors(num_neighbors, "sample_neighbors")
    if rowptr.numel() == 0:
        raise ValueError(
            "sample_neighbors expects rowptr [N + 1] with at least its first entry, 0, "
            "got an empty one"
        )
    nodes = rowptr.numel() - 1
    seeds = seeds.to(torch.int64).contiguous()
    if seeds.numel() and not 0 <= int(seeds.min()) <= int(seeds.max()) < nodes:
        wrong = seeds[(seeds < 0) | (seeds >= nodes)][0]
        raise IndexError(
            f"sample_neighbors expects seeds in [0, {nodes}), got {int(wrong)}"
        )
    seed %= 1 << 64
    if weight is not None:
        check_edge_weights(weight, col.numel(), "sample_neighbors")
    plain = weight is None and not disjoint
    if plain and backend("cpu") == "native":
        given = rowptr.contiguous(), col.contiguous(), seeds
        return native_sampling.sample(*given, fanouts, replace=replace, seed=seed)
    return reference_sampling.sample(
        rowptr.numpy(),
        col.numpy(),
        seeds.numpy(),
        fanouts,
        replace=replace,
        seed=seed,
        weight=None if weight is None else weight.numpy(),
        disjoint=disjoint,
    )


def check_edge_weights(weight: Tensor, num_edges: int, owner: str) -> None:
    """Check weights to draw edges by.

    Raises:
        TypeError: Not a tensor of float32 or float64.
        ValueError: Not one per edge.
    """
    if not isinstance(weight, Tensor) or weight.dtype not in _WEIGHTS:
        kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(
            f"{owner} expects weights of edges as float32 or float64, got {kind}"
        )
    if weight.shape != (num_edges,):
        raise ValueError(
            f"{owner} expects a weight per edge, [{num_edges}], got shape "
            f"{list(weight.shape)}"
        )


def check_num_neighbors(num_neighbors: Sequence[int], owner: str) -> list[int]:
    """Check how many neighbours are drawn at each hop.

    Raises:
        TypeError: Not a list of integers.
        ValueError: No hop, or one with a number that is neither positive nor -1.
    """
    if isinstance(num_neighbors, str) or not isinstance(num_neighbors, Sequence):
        raise TypeError(
            f"{owner} expects num_neighbors as a list with a number for each hop, got "
            f"{type(num_neighbors).__name__}"
        )
    if not num_neighbors:
        raise ValueError(f"{owner} expects num_neighbors of at least one hop, got none")
    for fanout in num_neighbors:
        if isinstance(fanout, bool) or not isinstance(fanout, int):
            raise TypeError(
                f"{owner} expects whole numbers of neighbours, got {fanout!r}"
            )
        if fanout < -1 or fanout == 0:
            raise ValueError(
                f"{owner} expects at least 1 neighbour at each hop, or -1 for all, got "
                f"{fanout} in {list(num_neighbors)}"
            )
    return list(num_neighbors)
