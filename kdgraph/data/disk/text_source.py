"""Edges in text, plain or gzipped."""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from kdgraph.data.disk.source import Block, EdgeSource, settle_num_nodes

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")

_CHUNK = 1 << 23
_BYTES_PER_EDGE = 2  # less than there is: text is copied several times as it is read
_COMMAS = bytes.maketrans(b"\t;", b",,")
_DIGITS = b"0123456789-"
_MARK = b"\xef\xbb\xbf"  # what some programs put before text in UTF-8
_EDGE = re.compile(rb"\s*([+-]?\d{1,18})(?:\s*[,;]\s*|\s+)([+-]?\d{1,18})\s*")
_HEADER = re.compile(rb"\s*[^\d\s,;-][^,;\t]*[,;\t ][^\d,;-][^,;]*")
_FIELDS = re.compile(rb"[,;\t]+")
_NUMBER = re.compile(rb"[\s\"']*[+-]?(\.?\d|(nan|inf)[\s\"']*$)", re.IGNORECASE)


def text_source(path: Path, num_nodes: int | None = None) -> EdgeSource:
    """Look at a file of two ids per line, source and target.

    Between them is a comma, a semicolon, a tab or a blank. A first line of two names,
    empty lines, and lines that start with ``#`` are passed over; a first line that
    begins a field with a number in any notation is no line of names.

    Args:
        path: The file, gzipped where its name ends in ``.gz``.
        num_nodes: N. (default: the largest id, and one)

    Raises:
        ValueError: In one sentence that names the file and the number of the line.
    """
    if not path.is_file():
        raise ValueError(f"{path}: does not exist; check the path.")
    return EdgeSource(
        files=(path,),
        blocks=lambda size, bound: text_blocks(path, size, bound),
        num_nodes=settle_num_nodes(None, num_nodes, path),
    )


def text_blocks(path: Path, size: int, num_nodes: int) -> Iterator[Block]:
    """Read at most ``size`` edges and 8 MiB of text at a time."""
    line, found = 1, False
    chunk = min(_CHUNK, size * _BYTES_PER_EDGE)
    total = max(path.stat().st_size, 1)
    for text, read in _chunks(path, chunk):
        pairs, lines = _parse(text, line, path)
        line += text.count(b"\n")
        wrong = ((pairs < 0) | (pairs >= num_nodes)).any(axis=1)
        if wrong.any():
            at = int(np.argmax(wrong))
            bad = next(int(one) for one in pairs[at] if not 0 <= one < num_nodes)
            raise ValueError(
                f"{path}: line {lines[at]} holds the node id {bad}, but ids are 0 to "
                f"{num_nodes - 1}; renumber the nodes or correct num_nodes."
            )
        if len(pairs):
            found = True
            yield pairs.T, read / total
    if not found:
        raise ValueError(
            f"{path}: the file holds no edges; give one with two ids per line."
        )


def _chunks(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, and how much of the file was read for them."""
    try:
        with path.open("rb") as raw:
            file: IO[bytes] = raw
            if path.suffix.lower() == ".gz":
                file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
            start = file.read(len(_MARK))
            rest = start.removeprefix(_MARK)
            while chunk := file.read(size):
                head, newline, tail = (rest + chunk).rpartition(b"\n")
                if newline:
                    yield head + newline, raw.tell()
                rest = tail
            yield rest, raw.tell()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: the file is truncated or damaged; copy or download it again."
        ) from error


def _parse(
    text: bytes, first: int, path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges [m, 2] and the numbers of their lines."""
    plain = text.translate(_COMMAS, b"\r").rstrip(b"\n")
    if b" " in plain:
        plain = plain.replace(b", ", b",").replace(b" ", b",")
    rows = plain.count(b"\n") + 1
    if plain.translate(None, _DIGITS) == b",\n" * (rows - 1) + b",":
        flat = plain.replace(b"\n", b",").decode("ascii")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an empty field is only a warning
                values = np.fromstring(flat, dtype=np.int64, sep=",")
            if values.size == 2 * rows:
                return values.reshape(rows, 2), np.arange(first, first + rows)
        except (DeprecationWarning, ValueError):
            pass
    return _parse_lines(text, first, path)


def _parse_lines(
    text: bytes, first: int, path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same, line by line: what is no edge is found or passed over."""
    pairs, numbers = [], []
    for number, line in enumerate(text.splitlines(), start=first):
        edge = _EDGE.fullmatch(line)
        if edge is not None:
            pairs.append((int(edge[1]), int(edge[2])))
            numbers.append(number)
        elif line.strip() and not line.lstrip().startswith(b"#"):
            if number == 1 and _is_header(line):
                continue
            shown = line[:40].decode("utf-8", "backslashreplace").strip()
            raise ValueError(
                f"{path}: line {number} must hold two node ids, source and target "
                f"(got {shown!r}); correct or remove it."
            )
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return edges, np.array(numbers, dtype=np.int64)


def _is_header(line: bytes) -> bool:
    """Whether a line holds two names, neither of them a number in some notation."""
    fields = _FIELDS.split(line.strip())
    if len(fields) == 1:
        fields = line.split()
    return bool(_HEADER.fullmatch(line)) and not any(map(_NUMBER.match, fields))
