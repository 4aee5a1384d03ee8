"""What ``--coder auto`` picks: the smallest codes that are good on validation."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdgraph.composers import RingComposer
from kdgraph.data import Graph
from kdgraph.training import choices
from kdgraph.training.choice import Choice
from kdgraph.training.choices import auto_choices
from kdgraph.training.config import TrainConfig
from kdgraph.training.recipes import resolve_config

QUICK_BELOW = 50_000
"""Stored edges up to which each is tried with several seeds."""
TRIED_SEEDS = 3
"""With which each is tried where that is quick."""
WORTH = 0.005
"""What a larger code must gain on validation to be taken before a smaller one."""

Train = Callable[[TrainConfig, int], float]
"""Train a configuration with a seed, and give its validation score."""
Read = Callable[[TrainConfig], object]
"""Read the codes of a configuration off the graph, or say why that fails."""


@dataclass(frozen=True)
class Pick:
    """What auto picked, and why.

    Args:
        config: Resolved, as every seed trains it.
        reason: In a few words.
        tried: Codes, bytes and mean validation score of what was tried.
    """

    config: TrainConfig
    reason: str
    tried: tuple[dict[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """One line on what was picked and why, and one for each that was tried."""
        config = self.config
        codes = f" {config.codes}" if config.coder in ("fixed", "refined") else ""
        width = f", codewords of {config.code_dim}" if config.code_dim else ""
        if config.composer == "ring":
            width = f", a ring of rank {config.rank or RingComposer().rank}"
        stored = f" in {config.storage}" if config.storage else ""
        guided = f", guidance {config.guidance}" if config.guidance != "none" else ""
        lines = [
            f"auto: {self.reason}",
            f"auto: coder {config.coder}{codes}{width}{stored}{guided}",
        ]
        lines[1:1] = [
            f"auto: tried {one['codes']} ({one['bytes']:,} bytes): "
            f"validation {100 * one['valid_score']:.1f}"
            for one in self.tried
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "config": self.config.as_dict(),
            "reason": self.reason,
            "tried": list(self.tried),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Pick":
        """The inverse of :meth:`as_dict`."""
        config = TrainConfig.from_dict(values["config"])
        return cls(config, values["reason"], tuple(values["tried"]))


def pick(config: TrainConfig, graph: Graph, train: Train, read: Read) -> Pick:
    """Try what auto may pick, and take the smallest that is good on validation.

    On small graphs every choice is trained, with three seeds where that is quick; on
    large ones the smallest is taken. A larger code must gain half a point on
    validation. Test labels are not looked at. Where structure hardly tells nodes apart,
    codes are learned.

    Args:
        config: With ``coder="auto"``.
        graph: Where it will be trained.
        train: Trains a configuration with a seed and gives its validation score.
        read: Reads the codes of a configuration off the graph.

    Raises:
        ValueError: A byte budget that nothing fits into, or codes that were asked for
            and that the graph does not have.
    """
    every, reason = auto_choices(config, graph)
    if config.codes is None:
        every, trouble = _readable(every, read)
        if not every:
            if config.compression is not None or config.bytes_per_node is not None:
                raise ValueError(f"no codes fit the graph and the budget: {trouble}")
            learned = config.replace(coder="softmax")
            why = f"codes cannot be read off the graph ({trouble})"
            return Pick(resolve_config(learned, graph), why)
    if len(every) == 1:
        return Pick(every[0].config, reason)
    if graph.num_edges > choices.TRY_BELOW:
        return Pick(every[0].config, f"{reason}, too large to try several")
    seeds = TRIED_SEEDS if graph.num_edges < QUICK_BELOW else 1
    tried: list[tuple[float, Choice]] = []
    for choice in every:
        # One training of two tells which codes are good.
        once = choice.config
        if once.guidance == "diffusion":
            once = once.replace(guidance="labelprop")
        scores = [train(once, seed) for seed in range(seeds)]
        tried.append((statistics.fmean(scores), choice))
    score, best = tried[0]
    for other, choice in tried[1:]:
        # Choices come by size; within a tenth, size does not count.
        worth = WORTH if choice.bytes > 1.1 * best.bytes else 0.0
        if other > score + worth:
            score, best = other, choice
    report = tuple(
        {
            "codes": _name(one.config),
            "bytes": one.bytes,
            "valid_score": value,
        }
        for value, one in tried
    )
    return Pick(best.config, f"{reason}, resolution by validation", report)


def _name(config: TrainConfig) -> str:
    """What tells a choice from others."""
    if config.composer == "ring":
        return f"{config.codes} of rank {config.rank}"
    return config.codes or f"coder {config.coder}"


def _readable(every: list[Choice], read: Read) -> tuple[list[Choice], str]:
    """Those whose codes the graph has, and what was wrong with the last other."""
    found, trouble = [], ""
    for choice in every:
        try:
            read(choice.config)
        except ValueError as error:
            trouble = str(error)
        else:
            found.append(choice)
    return found, trouble
