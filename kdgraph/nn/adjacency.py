"""The forms that PyG takes a graph in, as CSR by target."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import is_sparse, is_torch_sparse_tensor

from kdgraph.ops import Csr, Pattern
from kdgraph.ops.tensor_cache import TensorCache

_CACHE: TensorCache[Any] = TensorCache()


def remembered(
    tensors: Sequence[Tensor | None], key: Hashable, make: Callable[[], Csr]
) -> Csr:
    """A CSR that is worked out once from tensors and kept while they live unchanged.

    Where one of them wants a gradient, it is worked out every time.

    Args:
        tensors: What it comes from; ``None`` for what is not there.
        key: Tells apart what comes from the same tensors.
        make: Works it out.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    if torch.compiler.is_compiling():
        return make()
    if any(tensor.requires_grad for tensor in given):
        return make()
    cache = _CACHE
    for tensor in given[:-1]:
        cache = cache.get(tensor, "with", TensorCache)
    csr: Csr = cache.get(given[-1], (len(given), key), make)
    return csr


def to_csr(
    edge_index: Adj,
    weight: Tensor | None,
    size: tuple[int, int],
    *,
    flow: str = "source_to_target",
    told_by: tuple[Tensor, Hashable] | None = None,
) -> Csr:
    """The CSR by target of any form of a graph.

    Args:
        edge_index: ``[2, E]``, an ``EdgeIndex``, or ``torch.sparse`` or a
            ``torch_sparse.SparseTensor`` with targets in rows, which bring weights of
            their own.
        weight: Of each edge of an ``edge_index``, ``[E]``, or ``None`` for ones.
        size: Number of sources, number of targets.
        flow: Which row of an ``edge_index`` holds the sources, as PyG has it.
            (default: ``"source_to_target"``)
        told_by: Where ``edge_index`` is made anew each time, what it follows from and
            how; the pattern is kept as long as that lives. (default: ``edge_index``)

    Raises:
        IndexError: An end of an edge out of range.
    """
    if is_torch_sparse_tensor(edge_index):
        return _of_sparse(edge_index)
    if isinstance(edge_index, SparseTensor):
        return _of_sparse_tensor(edge_index)
    origin, how = (edge_index, None) if told_by is None else told_by
    pattern: Pattern = _CACHE.get(
        origin, ("pattern", how, size, flow), lambda: _pattern(edge_index, size, flow)
    )
    if weight is not None:
        weight = weight.reshape(-1)
        if not weight.is_floating_point():
            weight = weight.to(torch.get_default_dtype())
        # Never a view: it would keep the tensor alive that a CSR is kept for.
        order = pattern.order
        weight = weight.clone() if order is None else weight[order]
    return Csr(pattern, weight)


def targets_and_sources(
    edge_index: Adj, sizes: Sequence[int | None], sources: int, targets: int | None
) -> tuple[int, int]:
    """Number of sources and of targets, as PyG settles them.

    Args:
        edge_index: Any form of the graph.
        sizes: What PyG's ``_check_input`` says of it.
        sources: Rows of the features of sources.
        targets: Rows of those of targets, if there are any.

    Raises:
        ValueError: Features of another number of nodes than the graph has.
    """
    stated = list(sizes)
    sparse = is_sparse(edge_index)
    for dim, rows in enumerate((sources, targets)):
        if rows is None or (sparse and dim == 1):
            continue
        known = stated[dim]
        if known is None:
            stated[dim] = rows
        elif known != rows:
            raise ValueError(
                f"Encountered features of {rows} nodes in dimension {dim} of the "
                f"graph, but expected {known}"
            )
    return sources, sources if stated[1] is None else stated[1]


def _pattern(edge_index: Tensor, size: tuple[int, int], flow: str) -> Pattern:
    forward = flow == "source_to_target"
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()
    source, target = edge_index[0], edge_index[1]
    if not forward:
        source, target = target, source
    return Pattern.of_edges(source, target, size)


def _of_sparse(adj_t: Tensor) -> Csr:
    return remembered([adj_t], "sparse", lambda: _read_sparse(adj_t))


def _of_sparse_tensor(adj_t: SparseTensor) -> Csr:
    rowptr, col, weight = adj_t.csr()
    sources = adj_t.size(1)

    def read() -> Csr:
        known = weight is None or weight.requires_grad
        own = weight if known else _untied(weight)
        return Csr(Pattern(_untied(rowptr), _untied(col), sources), own)

    return remembered([rowptr, col, weight], ("SparseTensor", sources), read)


def _read_sparse(adj_t: Tensor) -> Csr:
    if adj_t.layout != torch.sparse_csr:
        adj_t = adj_t.to_sparse_csr()
    weight: Tensor | None = adj_t.values()
    if weight is not None and not weight.requires_grad:
        weight = None if bool((weight == 1).all()) else _untied(weight)
    rowptr, col = _untied(adj_t.crow_indices()), _untied(adj_t.col_indices())
    return Csr(Pattern(rowptr, col, adj_t.size(1)), weight)


def _untied(part: Tensor) -> Tensor:
    """The same memory, without keeping the tensor alive that it is a view of.

    The cache keeps what follows from a tensor as long as that lives; a view of it would
    keep it alive for ever, and a copy is as large as the graph.
    """
    place = part.storage_offset(), part.size(), part.stride()
    return part.new_empty(0).set_(part.untyped_storage(), *place)
