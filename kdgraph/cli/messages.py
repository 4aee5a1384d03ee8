"""What is said to the user in one sentence, and what is a fault of ours."""

import dis
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import kdgraph
from kdgraph.cli.together import is_first

PLEASE_REPORT = (
    "This is not a fault of your input: kdgraph or a library that it uses failed. "
    "Please report it with the command and the lines above."
)
_PACKAGE = str(Path(kdgraph.__file__).parent)
_MEANT = (ValueError, TypeError, IndexError, OverflowError, FloatingPointError)


def means_the_user(error: BaseException) -> bool:
    """Whether an error says what is wrong with the input or with the machine.

    This is so where a ``raise`` statement of this package raised it, and where the
    system refused a file. The same classes of errors out of a library, or out of a slip
    of ours, say nothing that a user could mend.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return True
    if not isinstance(error, (*_MEANT, OSError)):
        return False
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return False
    code = innermost.tb_frame.f_code
    raised = dis.opname[code.co_code[innermost.tb_lasti]] == "RAISE_VARARGS"
    return raised and code.co_filename.startswith(_PACKAGE)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings of this package as one line, and all others as usual."""
    usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is not UserWarning or not filename.startswith(_PACKAGE):
            usual(message, category, filename, lineno, file, line)
        elif is_first():
            print(f"kdgraph: warning: {one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def one_line(message: Any) -> str:
    """A message without line breaks."""
    return " ".join(str(message).split())
