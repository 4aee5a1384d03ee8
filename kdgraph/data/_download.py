"""Where data sets lie, and how new ones get there without touching what is there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from kdgraph.atomic import temporary_folder


def default_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the given folder, else ``$KDGRAPH_DATA``, else ``~/.cache/kdgraph``."""
    chosen = root if root is not None else os.environ.get("KDGRAPH_DATA")
    return Path(chosen or "~/.cache/kdgraph").expanduser()


def find_placed(name: str, base: Path, place: str, form: str) -> Path:
    """Return the path of a file that nobody but the user can put there.

    Raises:
        FileNotFoundError: In one sentence that says where it goes, in which form.
    """
    path = base / place
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is not downloaded, and {path} is missing; place {form} there, or "
            "name the folder that has it with root or $KDGRAPH_DATA."
        )
    return path


def is_empty(folder: Path) -> bool:
    """Return whether a folder is absent or holds nothing."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def fetch(name: str, target: Path, root: Path, get: Callable[[Path], Path]) -> None:
    """Download into a temporary folder under ``root`` and move the result in place.

    A failed or interrupted download leaves no half of a data set, and nothing that
    was there before is replaced or removed.

    Args:
        name: The data set, for the error.
        target: Where it shall lie; absent or empty.
        root: The data folder; made if it does not exist.
        get: Downloads into the folder it is given and returns what to move.

    Raises:
        FileNotFoundError: In one sentence, whatever went wrong.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            temporary_folder(root, ".download-") as folder,
            contextlib.redirect_stdout(sys.stderr),  # progress is not a result
        ):
            found = get(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            found.replace(target)
    except Exception as error:
        # Clients of several protocols raise their own errors; all mean the same here.
        raise FileNotFoundError(
            f"{name} is not under {root} and could not be downloaded "
            f"({_one_line(error)}); place its files in {target}, or name the folder "
            "that has them with root or $KDGRAPH_DATA."
        ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] if text else type(error).__name__
