"""MethodResult: what training one method on one graph gave."""

import platform
import statistics
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdgraph.data import Graph
from kdgraph.training.config import TrainConfig
from kdgraph.version import __version__


@dataclass(frozen=True)
class MethodResult:
    """Scores over seeds, exact bytes and costs.

    Args:
        graph: Where it was trained.
        config: The resolved configuration.
        test_scores: Of each seed, at the epoch that was best on validation.
        valid_scores: Of each seed, the best.
        inference_bytes: Kept after training.
        training_bytes: Weights, gradients and optimizer state, guidance included.
        peak_rss_bytes: Largest resident set while this method ran.
        seconds_per_epoch: One optimisation step, evaluation not counted.
        epochs: Epochs of each seed.
    """

    graph: Graph
    config: TrainConfig
    test_scores: tuple[float, ...]
    valid_scores: tuple[float, ...]
    inference_bytes: int
    training_bytes: int
    peak_rss_bytes: int
    seconds_per_epoch: float
    epochs: tuple[int, ...]

    @property
    def full_bytes(self) -> int:
        """The float32 table, 4 N C."""
        return 4 * self.graph.num_nodes * self.config.dim

    @property
    def compression_ratio(self) -> float | None:
        """``full_bytes / inference_bytes``; ``None`` where nothing is stored."""
        return self.full_bytes / self.inference_bytes if self.inference_bytes else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        coded = self.config.method == "kd"
        return {
            "dataset": self.graph.name,
            "method": self.config.method,
            "config": self.config.as_dict(),
            "num_nodes": self.graph.num_nodes,
            "num_edges": self.graph.num_edges,
            "embedding_dim": self.config.dim,
            "num_codebooks": self.config.num_codebooks if coded else None,
            "codebook_size": self.config.codebook_size if coded else None,
            "metric": self.graph.metric,
            "test_score": summary(self.test_scores),
            "valid_score": summary(self.valid_scores),
            "inference_bytes": self.inference_bytes,
            "full_bytes": self.full_bytes,
            "compression_ratio": self.compression_ratio,
            "training_bytes": self.training_bytes,
            "full_training_bytes": 4 * self.full_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "seconds_per_epoch": self.seconds_per_epoch,
            "epochs": list(self.epochs),
            "versions": versions(),
            "git": git_commit(),
        }


def summary(scores: tuple[float, ...]) -> dict[str, Any]:
    """Mean, sample deviation (0 for one score) and the scores, as fractions."""
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return {"mean": statistics.fmean(scores), "std": spread, "seeds": list(scores)}


def versions() -> dict[str, str]:
    """What computed the result."""
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
