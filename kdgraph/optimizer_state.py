"""How many numbers an optimizer keeps for each parameter."""

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
