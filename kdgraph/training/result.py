"""MethodResult: what training one method on one graph gave."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdgraph.data import Graph
from kdgraph.training.auto import Pick
from kdgraph.training.config import TrainConfig
from kdgraph.training.provenance import git_commit, versions
from kdgraph.training.seed_result import SeedResult


@dataclass(frozen=True)
class MethodResult:
    """Scores over seeds, exact bytes and costs.

    Args:
        graph: Where it was trained.
        config: The resolved configuration.
        seeds: What each seed gave.
        pick: What coder ``"auto"`` picked, where it was asked.
    """

    graph: Graph
    config: TrainConfig
    seeds: tuple[SeedResult, ...]
    pick: Pick | None = None

    @property
    def metric(self) -> str:
        """By what it was scored."""
        return self.config.metric or self.graph.metric

    @property
    def test_scores(self) -> list[float]:
        """Of each seed, at the epoch that was best on validation."""
        return [seed.test_score for seed in self.seeds]

    @property
    def valid_scores(self) -> list[float]:
        """Of each seed, the best."""
        return [seed.valid_score for seed in self.seeds]

    @property
    def inference_bytes(self) -> int:
        """Kept after training."""
        return self.seeds[0].inference_bytes

    @property
    def inference_bytes_in_order(self) -> int:
        """Kept where the graph is stored in the order that implies codes.

        Then there is no map from ids to places; the same where no order implies any.
        """
        found = self.seeds[0].inference_bytes_in_order
        return self.inference_bytes if found is None else found

    @property
    def training_bytes(self) -> int:
        """Weights, gradients and optimizer state, guidance included."""
        return self.seeds[0].training_bytes

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident set of the process while this method ran."""
        return max(seed.peak_rss_bytes for seed in self.seeds)

    @property
    def seconds_per_epoch(self) -> float:
        """One optimisation step, evaluation not counted."""
        epochs = sum(seed.epochs for seed in self.seeds)
        return sum(seed.seconds for seed in self.seeds) / epochs

    @property
    def full_bytes(self) -> int:
        """The float32 table, 4 N C."""
        return 4 * self.graph.num_nodes * self.config.dim

    @property
    def compression_ratio(self) -> float | None:
        """``full_bytes / inference_bytes``; ``None`` where nothing is stored."""
        return self.full_bytes / self.inference_bytes if self.inference_bytes else None

    @property
    def compression_ratio_in_order(self) -> float | None:
        """The same of ``inference_bytes_in_order``."""
        kept = self.inference_bytes_in_order
        return self.full_bytes / kept if kept else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        coded = self.config.method == "kd"
        return {
            "dataset": self.graph.name,
            "method": self.config.method,
            "config": self.config.as_dict(),
            "auto": None if self.pick is None else self.pick.as_dict(),
            "num_nodes": self.graph.num_nodes,
            "num_edges": self.graph.num_edges,
            "embedding_dim": self.config.dim,
            "num_codebooks": self.config.num_codebooks if coded else None,
            "codebook_size": self.config.codebook_size if coded else None,
            "metric": self.metric,
            "threshold": self._thresholds(),
            "test_score": summary(self.test_scores),
            "valid_score": summary(self.valid_scores),
            "label_head": self._label_head(),
            "inference_bytes": self.inference_bytes,
            "full_bytes": self.full_bytes,
            "compression_ratio": self.compression_ratio,
            "inference_bytes_in_order": self.inference_bytes_in_order,
            "compression_ratio_in_order": self.compression_ratio_in_order,
            "training_bytes": self.training_bytes,
            "full_training_bytes": 4 * self.full_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "processes": self.seeds[0].processes,
            "bytes_per_step": self.seeds[0].bytes_per_step,
            "seconds_per_epoch": self.seconds_per_epoch,
            "coding_seconds": max(seed.coding_seconds for seed in self.seeds),
            "versions": versions(),
            "git": git_commit(),
        }

    def _thresholds(self) -> list[float] | None:
        """Of each seed, where the metric has one."""
        found = [seed.threshold for seed in self.seeds]
        kept = [one for one in found if one is not None]
        return kept if len(kept) == len(found) else None

    def _label_head(self) -> dict[str, Any] | None:
        """Scores with labels spread on top; ``None`` where nothing was scored."""
        heads = [seed.label_head for seed in self.seeds]
        found = [head for head in heads if head is not None]
        if len(found) < len(heads):
            return None
        return {
            "test_score": summary([head["test_score"] for head in found]),
            "valid_score": summary([head["valid_score"] for head in found]),
            "alpha": [head["alpha"] for head in found],
            "mix": [head["mix"] for head in found],
        }


def summary(scores: Sequence[float]) -> dict[str, Any]:
    """Mean, sample deviation (0 for one score) and the scores, as fractions."""
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return {"mean": statistics.fmean(scores), "std": spread, "seeds": list(scores)}
