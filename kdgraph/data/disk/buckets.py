"""Sorting more numbers than fit into memory, by ranges kept in files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 4096
_PARTS = 128

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Bucket:
    """A file of the keys in a range, in any order.

    Args:
        path: The file.
        count: Number of keys.
        low: The smallest.
        high: The largest.
    """

    path: Path
    count: int
    low: int
    high: int

    def blocks(self, size: int) -> Iterator[Keys]:
        """Read ``size`` keys at a time."""
        with self.path.open("rb") as file:
            left = self.count
            while left:
                keys = np.fromfile(file, dtype=np.uint64, count=min(size, left))
                if keys.size == 0:
                    raise OSError(f"{self.path} has become shorter")
                left -= keys.size
                yield keys

    def sync(self) -> None:
        """Wait until the file is on disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def scatter(blocks: Iterable[Keys], folder: Path, bounds: Keys) -> list[Bucket]:
    """Distribute keys over files.

    Args:
        blocks: The keys; every block is sorted in place.
        folder: Where the files go; made anew.
        bounds: Ascending; bucket i gets keys from bound i - 1 to below bound i.

    Returns:
        The buckets that are not empty, in ascending order.

    Raises:
        OSError: If the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    number = bounds.size + 1
    paths = [folder / f"{index:03d}" for index in range(number)]
    counts = [0] * number
    low, high = [1 << 64] * number, [-1] * number
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for keys in blocks:
            keys.sort()
            cuts = [0, *np.searchsorted(keys, bounds).tolist(), keys.size]
            for index in range(number):
                piece = keys[cuts[index] : cuts[index + 1]]
                if piece.size:
                    files[index].write(piece.data)
                    counts[index] += piece.size
                    low[index] = min(low[index], int(piece[0]))
                    high[index] = max(high[index], int(piece[-1]))
    found = []
    for index, path in enumerate(paths):
        if counts[index]:
            found.append(Bucket(path, counts[index], low[index], high[index]))
        else:
            path.unlink()
    return found


def sorted_runs(bucket: Bucket, limit: int, block: int) -> Iterator[Keys]:
    """Yield the keys of a bucket in ascending order, a run at a time.

    A bucket that is too large is distributed again. Its bounds are keys of its own,
    each of which gets a bucket for itself, so that every other one is smaller than the
    whole however often a key is repeated; of a bucket of one key, one is yielded.

    Args:
        bucket: The bucket; its file stays.
        limit: Keys that may be in memory at once.
        block: Keys that are distributed at a time.
    """
    if bucket.low == bucket.high:
        yield np.array([bucket.low], dtype=np.uint64)
    elif bucket.count <= limit:
        for keys in bucket.blocks(limit):
            keys.sort()
            yield keys
    else:
        folder = bucket.path.with_name(f"{bucket.path.name}-parts")
        for part in scatter(bucket.blocks(block), folder, _bounds(bucket, limit)):
            yield from sorted_runs(part, limit, block)
            part.path.unlink()
        folder.rmdir()


def _bounds(bucket: Bucket, limit: int) -> Keys:
    parts = min(_PARTS, 2 * -(-bucket.count // limit))
    mapped = np.memmap(bucket.path, dtype=np.uint64, mode="r")
    sample = np.sort(mapped[:: max(1, bucket.count // _SAMPLE)])
    picks = sample[np.linspace(0, sample.size - 1, parts + 1).astype(np.int64)[1:-1]]
    return np.unique(np.concatenate([picks, picks + np.uint64(1)]))
