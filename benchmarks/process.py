"""Measuring in a process of its own, of which also a failure is a result."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_REASON_LINES = 1
_POSIX = sys.platform != "win32"


def run_process(
    command: list[str],
    written: Path,
    *,
    environment: dict[str, str],
    timeout: float,
    shown: bool = False,
) -> dict[str, Any]:
    """Run a module that ends with :func:`leave_result`, and read what it left.

    Args:
        command: Arguments of the interpreter.
        written: Where the result will be.
        environment: Of the process.
        timeout: Seconds after which it is ended.
        shown: Whether what it prints is shown. (default: ``False``)

    Returns:
        The result, or ``status`` (``"out-of-memory"`` or ``"failed"``) and ``reason``.
    """
    written.unlink(missing_ok=True)
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *command],
            env=environment,
            capture_output=not shown,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        reason = f"was not done after {timeout:g} seconds"
        return {"status": "failed", "reason": reason}
    if written.exists():
        found: dict[str, Any] = json.loads(written.read_text())
        return found
    # Killed by the kernel, most often for memory.
    status = "out-of-memory" if done.returncode == -9 else "failed"
    last = (done.stderr or "").strip().splitlines()[-_REASON_LINES:]
    reason = " ".join([f"ended with code {done.returncode}:", *last]).rstrip(":")
    return {"status": status, "reason": reason}


def leave_result(
    measure: Callable[[], dict[str, Any]], written: Path, memory: int | None
) -> None:
    """Measure, and write what came out; a failure is written, too.

    Args:
        measure: Returns what is to be written.
        written: Where.
        memory: Bytes that the process may take, or ``None``.
    """
    if memory and _POSIX:
        import resource  # noqa: PLC0415 - there is none on Windows

        # An allocation that fails is a result; a machine that swaps or kills is none.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    try:
        found = measure()
    except ImportError as error:
        found = {"status": "skipped", "reason": f"not installed: {error}"}
    except Exception as error:
        found = failure(error)
    written.write_text(json.dumps(found))


def failure(error: Exception) -> dict[str, Any]:
    """What is written of an error: ``status`` and ``reason``."""
    return {"status": _kind(error), "reason": _first_line(error)}


def _kind(error: Exception) -> str:
    words = str(error).lower()
    short = isinstance(error, MemoryError) or "allocate memory" in words
    return "out-of-memory" if short else "failed"


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}"
