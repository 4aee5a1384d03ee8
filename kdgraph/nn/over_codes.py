"""What the layers over codes share: when codes are read, and what else happens."""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from kdgraph.coded_features import CodedFeatures
from kdgraph.compat import check_input, has_message_hooks
from kdgraph.nn.adjacency import targets_and_sources, to_csr
from kdgraph.ops import backend

Features = Tensor | CodedFeatures

_HALVES = (torch.bfloat16, torch.float16)
REDUCTIONS = {"add": "sum", "sum": "sum", "mean": "mean"}
"""Aggregations that are computed from codes, by PyG's names."""


def reduction(aggr: Any) -> str | None:
    """What an aggregation of PyG is called here; ``None`` where codes are no help.

    Args:
        aggr: ``conv.aggr``: a name, several, or ``None`` for a module.
    """
    return REDUCTIONS.get(aggr) if isinstance(aggr, str) else None


class OverCodes:
    """A layer that also takes codes."""

    def __prepare_scriptable__(self) -> NoReturn:
        """Refuse to be scripted: TorchScript knows neither codes nor their operations.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{type(self).__name__} is not for torch.jit.script, which knows no codes; "
            "use torch.compile, or torch.export, which decodes"
        )


def decoded(x: Any) -> Any:
    """Features, or a pair, as tensors."""
    if isinstance(x, tuple | list):
        return tuple(decoded(part) for part in x)
    return x.dense() if isinstance(x, CodedFeatures) else x


def coded_pair(
    conv: MessagePassing, x: Any, edge_index: Any, *maps: Any
) -> tuple[CodedFeatures, Features | None] | None:
    """Sources and targets, where a layer can read the codes of its sources.

    ``None`` where vectors are no linear map of hard codes, under an aggregation other
    than sums and means, where messages themselves are asked for (hooks, explanations,
    ``decomposed_layers``), for pairs against the flow, and with linear maps that were
    replaced by others, such as adapters.

    Args:
        conv: The layer.
        x: Features, or a pair.
        edge_index: The graph.
        maps: The layer's linear maps of features.
    """
    pair = isinstance(x, tuple | list)
    source, target = x if pair else (x, x)
    if not isinstance(source, CodedFeatures) or not source.reads_codes:
        return None
    watched = conv.explain or has_message_hooks(conv)
    if watched or conv.decomposed_layers > 1 or reduction(conv.aggr) is None:
        return None
    if pair and conv.flow != "source_to_target":
        return None
    if any(type(part) not in (Linear, nn.Linear) for part in maps if part is not None):
        return None
    if _values_are_rows(edge_index):
        return None
    return source, target


def _values_are_rows(adj_t: Any) -> bool:
    """Whether a sparse graph has more than a number at each edge."""
    if isinstance(adj_t, SparseTensor):
        value = adj_t.storage.value()
        return value is not None and value.dim() > 1
    return bool(is_torch_sparse_tensor(adj_t) and adj_t.dense_dim() != 0)


def graph_size(
    conv: MessagePassing,
    source: CodedFeatures,
    target: Features | None,
    edge_index: Tensor,
    size: Any = None,
) -> tuple[int, int]:
    """Number of sources and targets; see :func:`targets_and_sources`."""
    stated = check_input(conv, edge_index, size)
    rows = None if target is None else target.size(0)
    return targets_and_sources(edge_index, stated, source.num_nodes, rows)


def weight_of(linear: Any, features: Features) -> Tensor:
    """The matrix of a linear map, made now where sizes were left to the first input."""
    if isinstance(linear.weight, UninitializedParameter):
        linear(torch.empty(0, features.size(1), device=features.device))
    weight: Tensor = linear.weight
    return weight


def mapped(linear: Any, features: Features) -> Tensor:
    """What a linear map makes of features."""
    if isinstance(features, CodedFeatures):
        bias: Tensor | None = linear.bias
        return features.linear(weight_of(linear, features), bias)
    result: Tensor = linear(features)
    return result


def sums_faster(adj_t: Any, x: Any, aggr: Any) -> bool:
    """Whether ``neighbor_sum`` takes the place of torch's sparse product.

    It does where it is compiled: its backward pass then runs along a transposed graph
    that is kept, which torch makes anew in each.
    """
    if not isinstance(x, Tensor) or x.dim() != 2 or reduction(aggr) is None:
        return False
    if not is_torch_sparse_tensor(adj_t) or adj_t.layout != torch.sparse_csr:
        return False
    if adj_t.requires_grad or adj_t.dense_dim() != 0:
        return False
    if x.dtype == torch.float64 or adj_t.size(1) != x.size(0):
        return False
    if adj_t.dtype == torch.float32 and x.dtype in _HALVES:
        return True  # in mixed precision, where torch has no such product
    return adj_t.dtype == x.dtype and backend(x.device) != "reference"


def sum_neighbors(adj_t: Tensor, x: Tensor, aggr: str) -> Tensor:
    """The product of a graph with a float table, or the means over neighbours."""
    csr = to_csr(adj_t, None, (adj_t.size(1), adj_t.size(0)))
    sums = csr.sum(x)
    return sums if REDUCTIONS[aggr] == "sum" else csr.mean_of(sums)
