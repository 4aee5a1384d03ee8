"""The process that METIS runs in, as the one that needs its cuts sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kdgraph.codes._metis_worker import NUMBERS, REPLY

if TYPE_CHECKING:
    Weighted = sparse.csr_array[np.integer[Any], tuple[int, int]]

_WORKER = Path(__file__).with_name("_metis_worker.py")


class MetisProcess:
    """METIS in a process of its own, which starts with the first cut.

    METIS sets handlers of signals and jumps out of them, aborts where memory is
    wanting, and holds Python's lock for as long as it computes. None of that reaches
    this process. The other one ends with the ``with`` block, however that ends.

    Attributes:
        peak_bytes: Largest resident memory that both processes had together, of all
            since it was last set to 0; 0 where the system does not tell.

    Example:
        >>> path = sparse.csr_array(np.eye(4, k=1) + np.eye(4, k=-1), dtype=np.int8)
        >>> with MetisProcess() as metis:
        ...     part = metis.cut(path, 2, seed=2)
        >>> bool(part[0] == part[1] != part[2] == part[3])
        True
    """

    peak_bytes: ClassVar[int] = 0

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        both = _memory(process.pid, "VmHWM") + _memory("self", "VmRSS")
        MetisProcess.peak_bytes = max(MetisProcess.peak_bytes, both)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # Part of a request may not have been sent when it ended.
            with suppress(BrokenPipeError):
                cast("IO[bytes]", pipe).close()

    def cut(self, adj: Weighted, num_parts: int, seed: int) -> NDArray[np.int64]:
        """Cut a graph into parts of about equal size with few edges between them.

        Args:
            adj: Symmetric adjacency without self-loops; weights of ``int8`` are all 1.
            num_parts: Number of parts.
            seed: The same seed gives the same parts.

        Returns:
            Part of each node, ``int64`` ``[n]``.

        Raises:
            RuntimeError: METIS failed, for want of memory most of the time, or its
                process was killed or could not be started.
        """
        process = self._process or self._start()
        nodes, entries = adj.shape[0], adj.nnz
        integer = np.dtype(np.int32 if max(nodes, entries) < 1 << 31 else np.int64)
        weights = adj.data[:0] if adj.dtype == np.int8 else adj.data
        arrays = [
            np.ascontiguousarray(values, dtype=integer)
            for values in (adj.indptr, adj.indices, weights)
        ]
        sizes = [values.nbytes for values in arrays]
        numbers = array(NUMBERS, [num_parts, seed, integer.itemsize, *sizes])
        requests = cast("IO[bytes]", process.stdin)
        try:
            requests.write(numbers)
            for values in arrays:
                requests.write(values.data)
            requests.flush()
            found = np.frombuffer(_reply(process), dtype=np.int32)
        except (BrokenPipeError, EOFError, ChildProcessError) as error:
            why = error if isinstance(error, ChildProcessError) else _ending(process)
            raise RuntimeError(
                f"METIS could not cut a cluster of {nodes} nodes and {entries // 2} "
                f"edges, for want of memory most likely ({why}); free memory and try "
                "again"
            ) from error
        return found.astype(np.int64)

    def _start(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise RuntimeError(
                "METIS runs in a process of its own, but this Python does not know its "
                "own path to start one; set sys.executable"
            )
        # The path of modules is handed over, and what a site does at start spared.
        command = [sys.executable, "-I", "-S", str(_WORKER)]
        command += map(os.path.abspath, sys.path)
        try:
            with _signals_blocked():
                self._process = process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            _reply(process)
        except (OSError, EOFError) as error:
            raise RuntimeError(
                f"the process that METIS runs in could not be started: {error}"
            ) from error
        return process


def _reply(process: subprocess.Popen[bytes]) -> bytes:
    """What the process answers, or its failure as an error."""
    replies = cast("IO[bytes]", process.stdout)
    header = replies.read(REPLY * array(NUMBERS).itemsize)
    if not header:
        raise EOFError(_ending(process))
    failed, size = array(NUMBERS, header)
    payload = replies.read(size)
    if len(payload) < size:
        raise EOFError(_ending(process))
    if failed:
        raise ChildProcessError(payload.decode(errors="replace"))
    return payload


def _ending(process: subprocess.Popen[bytes]) -> str:
    return f"it ended with status {process.wait()}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back, in this thread and in what it starts meanwhile.

    What is sent to a whole job, as Ctrl-C is, thus reaches the process that knows what
    to do, and that one ends the other.
    """
    if sys.platform == "win32":
        yield  # a process group of its own does the same
        return
    held = [signal.SIGINT, signal.SIGTERM]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _memory(process: int | str, field: str) -> int:
    """A line of Linux's account of a process, in bytes; 0 where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(next(found, 0)) * 1024
