"""From a string, a class or an instance to an instance."""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def resolve(query: Any, classes: Sequence[type[T]], suffix: str) -> T:
    """Find a class by name and make one, or pass an instance through.

    Names are compared lower-case, without ``-``, ``_`` and spaces, with and without
    the common suffix: ``"softmax"``, ``"SoftmaxCoder"`` and ``SoftmaxCoder`` are one.

    Args:
        query: A string, one of ``classes``, or an instance of one.
        classes: What may be chosen.
        suffix: What the class names share, such as ``"Coder"``.

    Raises:
        ValueError: An unknown name; the message lists the choices.
        TypeError: Neither a string nor such a class nor an instance.

    Example:
        >>> from kdgraph.composers import ConcatComposer, SumComposer
        >>> resolve("sum", [SumComposer, ConcatComposer], "Composer")
        SumComposer()
    """
    if isinstance(query, tuple(classes)):
        return query
    if isinstance(query, type) and issubclass(query, tuple(classes)):
        return query()
    names = {_normal(cls.__name__.removesuffix(suffix)): cls for cls in classes}
    if isinstance(query, str):
        name = _normal(query).removesuffix(suffix.lower())
        if name in names:
            return names[name]()
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown {suffix.lower()} {query!r}: expected one of {sorted(names)}{hint}"
        )
    raise TypeError(
        f"expected a {suffix.lower()} as a name of {sorted(names)}, a class or an "
        f"instance, got {type(query).__name__}"
    )


def _normal(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
