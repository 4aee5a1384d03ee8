"""Downloading through ogb, without its questions and its thread."""

from __future__ import annotations

import csv
import socket
import sys
from pathlib import Path
from typing import Any


def download(name: str, staging: Path) -> Path:
    """Download and unpack a data set.

    Args:
        name: The data set, as OGB spells it.
        staging: An empty folder.

    Returns:
        The folder in ``staging`` that holds ``raw`` and ``split``.

    Raises:
        ImportError: If ogb is not installed.
        OSError: If the network fails.
    """
    url, folder = address(name)
    from ogb.utils.url import (  # type: ignore[import-untyped, unused-ignore]
        download_url,
        extract_zip,
    )

    # The data set classes of ogb ask questions on the terminal and remove folders;
    # its two helpers do neither.
    waiting = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)  # a silent network would hold it for ever
    try:
        archive = download_url(url, str(staging))
    finally:
        socket.setdefaulttimeout(waiting)
    extract_zip(archive, str(staging))
    return staging / folder


def address(name: str) -> tuple[str, str]:
    """Return the address of a data set and the folder its archive holds."""
    try:
        package = Path(str(import_ogb().__file__)).parent
    except ImportError as error:
        raise ImportError("install kdgraph[ogb] to download it") from error
    with (package / "nodeproppred" / "master.csv").open(newline="") as file:
        rows = {row[""]: row[name] for row in csv.DictReader(file)}
    return rows["url"], rows["download_name"]


def import_ogb() -> Any:
    """Import ogb without the thread that asks the network for its newest version."""
    hidden = "outdated"
    saved = sys.modules.get(hidden)
    # None is how Python itself marks a module that shall not be found.
    sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        import ogb  # type: ignore[import-untyped, unused-ignore]

        return ogb
    finally:
        del sys.modules[hidden]
        if saved is not None:
            sys.modules[hidden] = saved
