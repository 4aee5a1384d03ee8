"""Parsers that answer in one sentence, and help that shows defaults that exist."""

import argparse
import re
from typing import Any, NoReturn

USER_ERROR = 2
"""Exit status of bad input."""


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` with our help and our errors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the usage of thirty options before it."""
        self.exit(
            USER_ERROR, f"{self.prog}: error: {message}; see {self.prog} --help\n"
        )


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.help or ""
        hidden = action.default is None or action.default == [] or action.nargs == 0
        # Where a text has it, it says more: its unit, or what it depends on.
        hidden = hidden or "(default: " in shown
        if hidden or action.default == argparse.SUPPRESS:
            return shown
        return f"{shown} (default: %(default)s)".strip()


def sizes(text: str) -> int | tuple[int, ...]:
    """One alphabet, or one per position separated by commas.

    Example:
        >>> sizes("16"), sizes("3,5,7")
        (16, (3, 5, 7))
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or numbers separated by commas, got {text!r}"
        ) from None
    return numbers if len(numbers) > 1 else numbers[0]


def fanout(text: str) -> tuple[int, ...]:
    """Neighbours for each layer, separated by commas; ``all`` or -1 for all.

    Example:
        >>> fanout("15,10"), fanout("10,all")
        ((15, 10), (10, -1))
    """
    try:
        return tuple(
            -1 if part.strip() == "all" else int(part) for part in text.split(",")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers or 'all' separated by commas, got {text!r}"
        ) from None


def query_dim(text: str) -> int:
    """A width, or 0 for free logits.

    Example:
        >>> query_dim("2"), query_dim("free")
        (2, 0)
    """
    if text == "free":
        return 0
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or 'free', got {text!r}"
        ) from None


def byte_count(text: str) -> int:
    """Bytes, as a number or with one of the suffixes K, M, G and T, powers of 1024.

    Example:
        >>> byte_count("4G"), byte_count("512")
        (4294967296, 512)
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"expected bytes like 512M or 4G, got {text!r}"
        )
    return int(float(match.group(1)) * 1024 ** " KMGT".index(match.group(2) or " "))
