"""What an optimizer keeps for each parameter, and what training holds in all."""

from torch import nn
from torch.optim import Optimizer

_BY_NAME = {
    "sgd": 0,
    "momentum": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "sparseadam": 2,
    "nadam": 2,
    "radam": 2,
}


def state_floats(optimizer: str | Optimizer) -> int:
    """State elements per parameter element, step counters left out.

    Args:
        optimizer: A name, or an optimizer: its own options count (momentum, AMSGrad).

    Raises:
        ValueError: An optimizer whose state is not known.

    Example:
        >>> state_floats("adam"), state_floats("sgd")
        (2, 0)
    """
    options: dict[str, object] = {}
    if isinstance(optimizer, Optimizer):
        name = type(optimizer).__name__.lower()
        options = optimizer.defaults
    else:
        name = optimizer.lower().replace("_", "").replace("-", "")
    if name not in _BY_NAME:
        raise ValueError(
            f"unknown optimizer {name!r}: expected one of {sorted(_BY_NAME)}, "
            f"or an instance of such a torch.optim class"
        )
    floats = _BY_NAME[name]
    if options.get("amsgrad"):
        floats += 1
    if name in ("sgd", "rmsprop") and options.get("momentum"):
        floats += 1
    if name == "rmsprop" and options.get("centered"):
        floats += 1
    return floats


def training_bytes(module: nn.Module, optimizer: str | Optimizer = "adam") -> int:
    r"""Exact bytes a module holds while training: weights, gradients, optimizer state.

    :math:`\sum_p n_p s_p (2 + m)` over parameters with :math:`n_p` elements of
    :math:`s_p` bytes, :math:`m` the state elements the optimizer keeps for each
    (Adam: 2), plus the buffers. Frozen parameters count once.

    Args:
        module: What is trained.
        optimizer: A name, or an optimizer.

    Raises:
        ValueError: An optimizer whose state is not known.

    Example:
        >>> training_bytes(nn.Linear(10, 10, bias=False), "adam") == 16 * 10 * 10
        True
    """
    copies = 2 + state_floats(optimizer)
    total = sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())
    for parameter in module.parameters():
        once = parameter.numel() * parameter.element_size()
        total += copies * once if parameter.requires_grad else once
    return total
