"""What files keep of a dataclass, as versions older and newer than theirs read it."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

_OLDER = "older"


def added(default: Any, *, older: Any) -> Any:
    """A field that older files do not hold.

    Args:
        default: What new objects have.
        older: What an object has whose file does not say it: what that file meant when
            it was written.

    Example:
        >>> @dataclasses.dataclass
        ... class Config:
        ...     epochs: int = 3
        ...     every: int = added(default=5, older=1)
        >>> Config().every, Config(**stored_fields(Config, {"epochs": 7})).every
        (5, 1)
    """
    return dataclasses.field(default=default, metadata={_OLDER: older})


def stored_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass as a file means them.

    Fields that a newer version has written are left out, and a warning names them.
    Fields that an older version did not have are what :func:`added` says, or their
    default, which is then left to the constructor.

    Args:
        cls: The dataclass.
        values: What the file holds.
    """
    fields = dataclasses.fields(cls)
    unknown = sorted(values.keys() - {field.name for field in fields})
    if unknown:
        warnings.warn(
            f"a stored {cls.__name__} has keys that this version of kdgraph does not "
            f"know and ignores: {', '.join(unknown)}",
            stacklevel=3,
        )
    older = {
        field.name: field.metadata[_OLDER]
        for field in fields
        if _OLDER in field.metadata
    }
    known = {name: value for name, value in values.items() if name not in unknown}
    return older | known


def as_stored(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the defaults written out, to compare with another."""
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING
    }
    return defaults | stored_fields(cls, values)
