"""METIS in a process of its own: adjacencies in, parts out, until the input ends.

It is run by its path, so that it imports neither torch nor kdgraph and starts in about
0.1 s. Both ends are on one machine, so numbers are in its own order of bytes.
"""

from __future__ import annotations

import os
import sys
from array import array
from typing import BinaryIO

NUMBERS = "q"
"""Type code of the numbers before the arrays."""
REQUEST = 6
"""Numbers of a request: parts, seed, bytes of an integer of the arrays, and the bytes
of row starts, of columns and of weights, 0 for none. The three arrays follow."""
REPLY = 2
"""Numbers of a reply: whether METIS failed, and the bytes of what follows: the part of
each node as ``int32``, or a message. An empty one is sent first, as a greeting."""


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Cut one graph after the other, until there are no more or METIS fails."""
    try:
        import pymetis  # noqa: PLC0415
    except ImportError as error:
        _reply(replies, str(error).encode(), failed=True)
        return
    _reply(replies, b"")
    while header := requests.read(REQUEST * array(NUMBERS).itemsize):
        num_parts, seed, width, *sizes = array(NUMBERS, header)
        starts, columns, weights = (_read(requests, size, width) for size in sizes)
        try:
            found = pymetis.part_graph(
                num_parts,
                pymetis.CSRAdjacency(starts, columns),
                eweights=weights if len(weights) else None,
                # As fast as the direct k-way scheme, and far better balanced on
                # clusters of few nodes and on disconnected ones.
                recursive=True,
                options=pymetis.Options(seed=seed),
            )
        except (MemoryError, RuntimeError) as error:
            # METIS jumps out of where it was and leaves a state that none can trust.
            _reply(replies, str(error).encode(), failed=True)
            return
        _reply(replies, array("i", found.vertex_part).tobytes())


def _read(requests: BinaryIO, size: int, width: int) -> memoryview:
    data = bytearray(size)
    if requests.readinto(data) != size:  # type: ignore[attr-defined]
        raise EOFError("the request ended before its arrays")
    integers = memoryview(data)
    return integers.cast("q") if width == array("q").itemsize else integers.cast("i")


def _reply(replies: BinaryIO, payload: bytes, *, failed: bool = False) -> None:
    replies.write(array(NUMBERS, [failed, len(payload)]))
    replies.write(payload)
    replies.flush()


def _end_with_parent() -> None:
    """Let Linux end this process when the one that waits for it is killed."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        set_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(set_death_signal, kill)


if __name__ == "__main__":
    _end_with_parent()
    # METIS prints to the usual output, so replies get a descriptor of their own.
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path[:] = sys.argv[1:]
    serve(sys.stdin.buffer, own)
