"""From a string, a class or an instance to an instance."""

import difflib
from collections.abc import Sequence
from typing import TypeVar, cast

T = TypeVar("T")


def resolve(query: str | type[T] | T, base: type, classes: Sequence[type[T]]) -> T:
    """Find a class by name and make one, or pass an instance through.

    Names are compared lower-case, without ``-``, ``_`` and spaces, with and without
    the name of the base: ``"softmax"``, ``"SoftmaxCoder"``, ``SoftmaxCoder`` are one.

    Args:
        query: A string, a class or an instance; the last two may be anyone's own.
        base: What classes and instances derive from, such as ``Coder``.
        classes: What may be named.

    Raises:
        ValueError: An unknown name; the message lists the choices.
        TypeError: Neither a string nor such a class nor an instance.

    Example:
        >>> from kdgraph.composers import Composer, ConcatComposer, SumComposer
        >>> resolve("sum", Composer, [SumComposer, ConcatComposer])
        SumComposer()
    """
    made: object = query
    kind = base.__name__.lower()
    names = {_normal(cls.__name__).removesuffix(kind): cls for cls in classes}
    if isinstance(query, str):
        name = _normal(query).removesuffix(kind)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"unknown {kind} {query!r}: expected one of {sorted(names)}{hint}"
            )
        made = names[name]()
    elif isinstance(query, type) and issubclass(query, base):
        made = query()
    if not isinstance(made, base):
        raise TypeError(
            f"expected a {kind} as a name of {sorted(names)}, a class or an instance, "
            f"got {query.__name__ if isinstance(query, type) else type(query).__name__}"
        )
    return cast("T", made)


def _normal(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
