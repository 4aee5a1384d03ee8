"""SeedResult: what training one seed gave, as a run folder keeps it."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kdgraph.training.stored import stored_fields


@dataclass(frozen=True)
class SeedResult:
    """Scores, bytes and costs of one seed.

    Args:
        seed: Which.
        test_score: At the epoch that was best on validation.
        valid_score: At that epoch.
        best_epoch: That epoch, counted from 0.
        epochs: How many were trained.
        seconds: What their optimisation steps took.
        inference_bytes: Kept after training.
        training_bytes: Weights, gradients and optimizer state, guidance included.
        peak_rss_bytes: Largest resident set.
        losses: Of every epoch.
        valid_scores: Of every epoch that was scored.
        coding_seconds: What reading codes off the graph took.
        reverted: Epochs after which a re-assignment of codes was taken back.
        processes: How many trained together.
        threshold: Probability above which labels are predicted, where the metric picks
            one on validation.
        bytes_per_step: What each of them gave to the others in a step, on average.
        inference_bytes_in_order: Kept where the graph is stored in the order that
            implies codes, so that there is no map from its ids to places; where no
            order implies any, ``inference_bytes``. ``None`` in results from before maps
            were counted.
        scored_epochs: Those, counted from 0; ``None`` where it was every epoch.
        label_head: What a label-spreading head on the class scores gives, see
            :func:`kdgraph.training.label_head.spread_head`.
    """

    seed: int
    test_score: float
    valid_score: float
    best_epoch: int
    epochs: int
    seconds: float
    inference_bytes: int
    training_bytes: int
    peak_rss_bytes: int
    losses: list[float]
    valid_scores: list[float]
    coding_seconds: float = 0.0
    reverted: list[int] = field(default_factory=list)
    label_head: dict[str, Any] | None = None
    processes: int = 1
    bytes_per_step: float = 0.0
    inference_bytes_in_order: int | None = None
    threshold: float | None = None
    scored_epochs: list[int] | None = None

    def counting(self, map_bytes: int) -> Self:
        """The same with a map counted, where that is a result that counts none.

        Args:
            map_bytes: Of the map from ids to places; 0 where no order is needed.
        """
        if self.inference_bytes_in_order is not None:
            return self
        return dataclasses.replace(
            self,
            inference_bytes=self.inference_bytes + map_bytes,
            inference_bytes_in_order=self.inference_bytes,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what a run folder keeps.

        Raises:
            ValueError: The file is not one of ours, or damaged.
        """
        try:
            result = cls(**stored_fields(cls, json.loads(path.read_text())))
        except (
            AttributeError,
            OSError,
            ValueError,
            TypeError,
            RecursionError,
        ) as error:
            raise ValueError(
                f"{path} is no readable result; remove it to train this seed again"
            ) from error
        numbers = (result.test_score, result.valid_score, result.seconds)
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(
                f"{path} holds no scores; remove it to train this seed again"
            )
        return result
