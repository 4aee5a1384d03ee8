"""What computed a result: versions and the commit of the sources."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from kdgraph.version import __version__


def versions() -> dict[str, str]:
    """Versions of Python, kdgraph and the packages that compute."""
    packages = ("torch", "torch-geometric", "numpy", "scipy", "safetensors")
    found = {name: version(name) for name in packages}
    return {"kdgraph": __version__, "python": platform.python_version(), **found}


@cache
def git_commit() -> str | None:
    """The commit of the sources, ``-dirty`` if changed; ``None`` outside a checkout."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty"],  # noqa: S607
            cwd=source,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
