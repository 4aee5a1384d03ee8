"""Parse, dispatch, and turn errors into one sentence."""

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence

import torch

from kdgraph.cli import export, inspect, plan, prepare, train
from kdgraph.cli.interrupt import Stopped, stop_at_once
from kdgraph.cli.messages import (
    PLEASE_REPORT,
    means_the_user,
    one_line,
    plain_warnings,
)
from kdgraph.cli.parser import USER_ERROR, Parser
from kdgraph.cli.together import is_first, is_parted
from kdgraph.version import __version__

COMMANDS = (train, prepare, export, inspect, plan)

FAILED = 1
"""Exit status of a run that could not be finished."""
KILLED = 128
"""With a signal's number added, the exit status after it, as shells have it."""
BROKEN_PIPE = 141
"""Exit status when the reader of the output has left, as shells have it."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OUT_OF_MEMORY = (
    "out of memory; choose a smaller --dim or --codebook-size, or a method whose "
    "training bytes fit (see kdgraph plan)"
)
_PARTED = (
    "another process of the job ended or cannot be reached; the same command goes on "
    "from the last checkpoint where --save keeps one"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name. (default: ``sys.argv[1:]``)

    Returns:
        0, or 2 for bad input, 1 for a run that failed, 130 after Ctrl-C, 143 after
        SIGTERM, 141 when the output is a pipe that nobody reads.

    Raises:
        Exception: A fault of ours or of a library, with a note that asks for a report.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character is no reason to lose the table.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _dispatch(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _silence_stdout()
        return _fail(f"the output cannot be written: {error.strerror}", FAILED)


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="kdgraph",
        description="Compact node embeddings by learned discrete codes.",
        epilog="kdgraph COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"kdgraph {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def _dispatch(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        with stop_at_once(), plain_warnings():
            arguments.run(arguments)
    except KeyboardInterrupt as error:
        save = getattr(arguments, "save", None)
        kept = save is not None and save.exists()
        hint = "; the same command goes on from here" if kept else ""
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        what = "interrupted"
        if number != signal.SIGINT:
            what = f"stopped by {number.name}"
        return _fail(f"{what}{hint}", KILLED + number)
    except BrokenPipeError:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            return _fail(_OUT_OF_MEMORY, FAILED)
        if means_the_user(error):
            full = isinstance(error, OSError) and error.errno in _FULL
            failed = full or isinstance(error, FloatingPointError)
            return _fail(_sentence(error), FAILED if failed else USER_ERROR)
        if isinstance(error, RuntimeError) and is_parted(error):
            return _fail(_PARTED, FAILED)
        error.add_note(PLEASE_REPORT)
        raise
    return 0


def _fail(message: str, status: int) -> int:
    # Of the processes of one job, one speaks.
    if is_first():
        print(f"kdgraph: error: {message}", file=sys.stderr)
    return status


def _sentence(error: BaseException) -> str:
    """The message on one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return one_line(error)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # The CPU allocator has no exception of its own.
    message = str(error).lower()
    return any(
        part in message
        for part in (
            "can't allocate memory",
            "not enough memory",
            # More bytes than there are numbers for.
            "storage size calculation overflowed",
        )
    )


def _silence_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
