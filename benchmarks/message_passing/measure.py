"""Measure one rival; its own process, so that its memory is its own."""

import argparse
import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.message_passing import exact
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals import RIVALS, Rival
from benchmarks.process import leave_result
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss


def measure(folder: Path, name: str, repeats: int, seconds: float) -> dict[str, Any]:
    """Time a rival on the inputs of a folder, watch its memory, and check it.

    One call comes before those that count. No further one begins once ``seconds`` are
    used up, except for the first.

    Returns:
        ``seconds`` of each call that counts, ``first_seconds`` of the call before,
        ``extra_bytes`` by which the process grew from all calls beyond inputs and
        output (``None`` where the system does not tell), ``output_bytes`` and
        ``difference`` from the exact result.
    """
    inputs = Inputs(folder)
    with torch.set_grad_enabled(RIVALS[name].gradients):
        rival = RIVALS[name](inputs)
        _give_back_memory()
        tells = reset_peak_rss()
        before = peak_rss_bytes()
        first, output = _timed(rival)
        taken: list[float] = []
        while len(taken) < repeats and (not taken or sum(taken) < seconds):
            # Two outputs at once would not be this rival's doing.
            del output
            again, output = _timed(rival)
            taken.append(again)
        size = output.numel() * output.element_size()
        extra = max(0, peak_rss_bytes() - before - size) if tells and before else None
        difference = exact.difference(rival.signature(output), exact.load(folder))
    return {
        "status": "ok" if difference <= rival.tolerance else "failed",
        "reason": f"differs by {difference:.1e} from the exact result",
        "seconds": taken,
        "first_seconds": first,
        "extra_bytes": extra,
        "output_bytes": size,
        "difference": difference,
        "threads": torch.get_num_threads(),
    }


def _timed(rival: Rival) -> tuple[float, Tensor]:
    begun = time.perf_counter()
    output = rival.run()
    return time.perf_counter() - begun, output


def _give_back_memory() -> None:
    """Freed memory that the process kept would hide what a rival allocates."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _POSIX else None
    if trim is not None:
        trim(0)


_POSIX = sys.platform != "win32"


def main() -> int:
    """Measure, and say how it ended; a rival that fails has a result too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--memory", type=int, help="bytes it may take")
    arguments = parser.parse_args()
    leave_result(
        lambda: measure(
            arguments.folder, arguments.rival, arguments.repeats, arguments.seconds
        ),
        arguments.folder / f"{arguments.rival}.json",
        arguments.memory,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
