"""Peak resident memory of this process, and of METIS beside it."""

import gc
import sys
from pathlib import Path

from kdgraph.codes.metis_process import MetisProcess

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_rss() -> bool:
    """Start measuring anew, where the kernel can; tells whether it did."""
    # What an earlier run left in circles would count for the next.
    gc.collect()
    MetisProcess.peak_bytes = 0
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def peak_rss_bytes() -> int:
    """The largest resident set since the process began, or since the last reset.

    While METIS runs, in a process of its own, both count. 0 where the system does not
    tell.
    """
    return max(_own_peak(), MetisProcess.peak_bytes)


def _own_peak() -> int:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
