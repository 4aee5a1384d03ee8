"""Parse, dispatch, and turn errors into one sentence."""

import argparse
import sys
from collections.abc import Sequence

from kdgraph.cli import export, inspect, plan, train
from kdgraph.version import __version__

COMMANDS = (train, export, inspect, plan)

USER_ERROR = 2
"""Exit status of bad input."""
FAILED = 1
"""Exit status of a run that could not be finished."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name. (default: ``sys.argv[1:]``)

    Returns:
        0, or 2 for bad input, 1 for a run that failed, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="kdgraph",
        description="Compact node embeddings by learned discrete codes.",
    )
    parser.add_argument("--version", action="version", version=f"kdgraph {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print("\nkdgraph: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, IndexError, OSError) as error:
        return _fail(_sentence(error), USER_ERROR)
    except (FloatingPointError, MemoryError) as error:
        return _fail(_sentence(error) or "out of memory", FAILED)
    except RuntimeError as error:
        if "alloc" not in str(error).lower():
            raise
        return _fail(
            "out of memory; choose a smaller --dim or --codebook-size, or a method whose "
            "training bytes fit (see kdgraph plan)",
            FAILED,
        )
    return 0


def _fail(message: str, status: int) -> int:
    print(f"kdgraph: error: {message}", file=sys.stderr)
    return status


def _sentence(error: BaseException) -> str:
    """The message on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
