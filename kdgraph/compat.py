"""What kdgraph takes of torch and PyG that they do not promise to keep.

Private names, and modules that their references leave out, are used nowhere else, but
for those that a subclass has to know (``_get_tensor`` of a feature store, the caches of
``GCNConv``). Each function below says what it does once the name is gone: it gives what
is right though slower, or raises one sentence.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Callable, MutableMapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

_HOOKS = tuple(
    f"_{what}_forward_{when}"
    for what in (
        "propagate",
        "message",
        "aggregate",
        "message_and_aggregate",
        "edge_update",
    )
    for when in ("pre_hooks", "hooks")
)
_FRESH = itertools.count(-1, -1)


def infer_schema(function: Callable[..., Any]) -> str:
    """The schema of an operation, from a function with hints.

    Until 2.7 torch knows ``typing.Sequence`` only, which is another object than the one
    of ``collections.abc``.
    """
    older: Any = typing.Sequence[int]
    for name, hint in function.__annotations__.items():
        if hint == Sequence[int]:
            function.__annotations__[name] = older
    return torch.library.infer_schema(function, mutates_args=())


def register_autocast(operation: Any, device: str, dtype: torch.dtype) -> None:
    """Compute an operation in one type wherever types are chosen by autocast.

    Until 2.7 torch has no name for that, and a kernel is put where autocast looks.

    Args:
        operation: An overload, ``torch.ops.NAMESPACE.NAME.default``.
        device: ``"cpu"`` or ``"cuda"``.
        dtype: The type that floats are cast to.
    """
    if hasattr(torch.library, "register_autocast"):
        torch.library.register_autocast(operation, device, dtype)
        return

    def cast(value: Any) -> Any:
        floats = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(dtype) if floats and value.dtype != torch.float64 else value

    def kernel(*arguments: Any) -> Any:
        with torch.autocast(device, enabled=False):
            return operation(*map(cast, arguments))

    name = operation.name().removesuffix(".default")
    torch.library.impl(name, f"Autocast{device.upper()}", kernel)


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written to.

    Without torch's counter a number that was never given before, so that nothing that
    was kept for the tensor is used again.
    """
    found: int | None = getattr(tensor, "_version", None)
    return next(_FRESH) if found is None else found


def weak_tensor_dictionary() -> MutableMapping[Tensor, Any]:
    """A dictionary whose tensors may die; without torch's own, nothing is kept."""
    try:
        made = _found("torch.utils.weak", "WeakTensorKeyDictionary")()
    except RuntimeError:
        return _Forgetful()
    dictionary: MutableMapping[Tensor, Any] = made
    return dictionary


class _Forgetful(dict[Tensor, Any]):
    """A dictionary that keeps nothing."""

    def __setitem__(self, key: Tensor, value: Any) -> None:
        """Let go of it."""


def sparse_parts(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and values of a sparse tensor as they are stored, repeated ones too.

    Without torch's names for them, of the tensor with repeated ones summed.
    """
    try:
        return gradient._indices(), gradient._values()
    except AttributeError:
        summed = gradient.coalesce()
        return summed.indices(), summed.values()


def is_mapped(tensor: Tensor) -> bool:
    """Whether ``torch.vmap`` maps over a tensor, so that nothing can see its values.

    Never, where torch does not tell; what looks at values then fails by itself.
    """
    functorch: Any = getattr(torch._C, "_functorch", None)
    return functorch is not None and bool(functorch.is_batchedtensor(tensor))


def transforming() -> bool:
    """Whether this is within ``grad``, ``vmap`` or another of ``torch.func``.

    Never, where torch does not tell.
    """
    functorch: Any = getattr(torch._C, "_functorch", None)
    return functorch is not None and functorch.maybe_current_level() is not None


def eager() -> bool:
    """Whether tensors are what they seem: neither compiled nor transformed."""
    return not torch.compiler.is_compiling() and not transforming()


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """Apply a function with a gradient of its own.

    ``function.apply`` looks its signature up on every call, for ``torch.func``, which
    takes longer than a small function. Where nothing is transformed this goes past
    that; where torch has no such way, it is ``function.apply``.
    """
    functorch: Any = getattr(torch._C, "_functorch", None)
    unwrap = getattr(functorch, "unwrap_if_dead", None)
    if unwrap is None or not eager():
        return function.apply(*arguments)  # type: ignore[no-untyped-call]
    whole = (unwrap(one) if isinstance(one, Tensor) else one for one in arguments)
    return super(torch.autograd.Function, function).apply(*whole)  # type: ignore[misc]


def is_exporting() -> bool:
    """Whether a model is being exported, to be run where kdgraph is not installed.

    Until 2.7 torch tells of the exporter for ONNX alone.
    """
    told = getattr(torch.compiler, "is_exporting", None)
    return (told is not None and told()) or torch.onnx.is_in_onnx_export()


def has_message_hooks(conv: nn.Module) -> bool:
    """Whether someone hooked into the messages of a layer of PyG.

    So it is said, too, of a layer whose hooks have other names than those known here:
    it then makes messages, which is right, though slower.
    """
    return any(getattr(conv, name, True) for name in _HOOKS)


def check_input(
    conv: Any, edge_index: Any, size: tuple[int | None, int | None] | None
) -> list[int | None]:
    """Check a graph as PyG's layers do, and give its size as far as it is stated.

    Without PyG's check, what it would refuse fails where it is used.
    """
    check = getattr(conv, "_check_input", None)
    if check is not None:
        stated: list[int | None] = check(edge_index, size)
        return stated
    return [None, None] if size is None else list(size)


def filter_data(data: Any, nodes: Tensor, *edges: Tensor | None) -> Any:
    """PyG's own: nodes and edges of a batch with what belongs to them.

    Raises:
        RuntimeError: This PyG has none.
    """
    return _found("torch_geometric.loader.utils", "filter_data")(data, nodes, *edges)


def set_sparse_value(adj: Tensor, value: Tensor) -> Any:
    """PyG's own: a sparse tensor with other values.

    Raises:
        RuntimeError: This PyG has none.
    """
    # Not by _found(): this is compiled, which import_module() is not.
    try:
        from torch_geometric.utils.sparse import (  # noqa: PLC0415
            set_sparse_value as own,
        )
    except ImportError:
        raise _gone("torch_geometric.utils.sparse", "set_sparse_value") from None
    return own(adj, value)


def gcn_norm(*arguments: Any) -> Any:
    """PyG's own: edges and weights of a normalised adjacency.

    Raises:
        RuntimeError: This PyG has none.
    """
    # Not by _found(): this is compiled, which import_module() is not.
    try:
        from torch_geometric.nn.conv.gcn_conv import gcn_norm as own  # noqa: PLC0415
    except ImportError:
        raise _gone("torch_geometric.nn.conv.gcn_conv", "gcn_norm") from None
    return own(*arguments)


def rendezvous(prefix: str) -> tuple[Any, int, int]:
    """Store, rank and number of the processes that the environment describes.

    Args:
        prefix: What keys in the store start with.

    Raises:
        RuntimeError: This torch has none.
    """
    met = _found("torch.distributed.rendezvous", "rendezvous")
    store, rank, size = next(met("env://"))
    return _found("torch.distributed", "PrefixStore")(prefix, store), rank, size


def leave_to_others(model: nn.Module, names: Sequence[str]) -> None:
    """Keep parameters and buffers out of what ``DistributedDataParallel`` exchanges.

    Raises:
        RuntimeError: This torch cannot; exchanged twice, gradients would be wrong.
    """
    _found(
        "torch.nn.parallel",
        "DistributedDataParallel",
        "_set_params_and_buffers_to_ignore_for_model",
    )(model, names)


def in_backward() -> bool:
    """Whether a backward pass is under way, in which checkpoints compute once more.

    Once torch has no name for that, the answer is no, and steps of checkpointed
    encoders are counted twice.
    """
    current = getattr(torch._C, "_current_graph_task_id", None)
    return current is not None and current() != -1


def _found(module: str, *names: str) -> Any:
    """What a module has by a name, or a name of that."""
    try:
        found: Any = import_module(module)
        for name in names:
            found = getattr(found, name)
    except (ImportError, AttributeError):
        raise _gone(module, *names) from None
    return found


def _gone(module: str, *names: str) -> RuntimeError:
    # Not by importing PyG, which brings the compiler of torch with it.
    package = module.partition(".")[0].replace("_", "-")
    return RuntimeError(
        f"{package} {version(package)} has no {'.'.join((module, *names))}, which "
        f"kdgraph needs; install another {package}, such as the one in constraints.txt"
    )
