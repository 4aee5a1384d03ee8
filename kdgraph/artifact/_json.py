"""JSON that means one thing: no repeated keys, no numbers outside of JSON."""

import json
from typing import Any, NoReturn


def dumps(value: Any) -> str:
    """Compact ASCII JSON.

    Raises:
        ValueError: Not representable: another type, NaN or an infinity, a circle.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not representable as JSON: {error}") from None


def loads_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object strictly.

    Args:
        text: The JSON.
        what: What it is, for the message.

    Raises:
        ValueError: Not JSON, not an object, a key twice, nested beyond the stack.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def short(name: object) -> str:
    """A name out of a file, fit for one line of a message."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {short(key)} appears twice")
            seen.add(key)
    return result


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
