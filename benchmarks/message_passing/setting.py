"""Setting: what is measured, on which graph, at which width."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = {
    "170k": (170_000, 2_400_000),
    "1m": (1_000_000, 25_000_000),
    "2.4m": (2_400_000, 60_000_000),
    "10m": (10_000_000, 100_000_000),
}
"""Nodes and directed edges."""
TINY = (2_000, 20_000)
"""The size that tests use."""
ARXIV = "arxiv"
"""ogbn-arxiv, where it is to be found; else a graph of the smallest size."""
SUITES = ("forward", "both", "gather", "epoch", "plain", "plain-both")
DEGREES = ("uniform", "power-law")
CHANNELS = (64, 128, 256)
GATHERED = 1_000_000
CLASSES = 40


@dataclass(frozen=True)
class Setting:
    """One table of the report.

    Args:
        suite: What is measured: ``"forward"``, ``"both"`` (forward and backward of a
            layer), ``"gather"``, ``"epoch"``, or ``"plain"`` and ``"plain-both"``, the
            first two without the compiled core.
        size: A name for the graph.
        num_nodes: Number of nodes N.
        num_edges: Number of directed edges E.
        degrees: ``"uniform"``, ``"power-law"``, or ``"real"`` of a data set.
        channels: Width of a vector C, and of a layer's output.
        num_codebooks: Number of positions D.
        codebook_size: Choices K per position, at most 256: a code is a byte.
        seed: Of everything that is drawn.

    Raises:
        ValueError: Sizes out of range or that do not fit together.
    """

    suite: str
    size: str
    num_nodes: int
    num_edges: int
    degrees: str = "uniform"
    channels: int = 128
    num_codebooks: int = 16
    codebook_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.codebook_size <= 256:
            raise ValueError(
                f"codebook_size lies in [2, 256], since a code is measured as a byte, "
                f"got {self.codebook_size}"
            )
        if self.num_codebooks < 1 or self.channels % self.num_codebooks:
            raise ValueError(
                f"codewords lie side by side, so channels are a multiple of "
                f"num_codebooks, got {self.channels} and {self.num_codebooks}"
            )

    @property
    def gathered(self) -> int:
        """How many rows the gather reads."""
        return min(GATHERED, self.num_nodes)

    @property
    def outputs(self) -> int:
        """Rows of the result."""
        return self.gathered if self.suite == "gather" else self.num_nodes

    @property
    def name(self) -> str:
        """Of the result file."""
        words = [self.suite, self.size, self.degrees, f"c{self.channels}"]
        if (self.num_codebooks, self.codebook_size) != (16, 256):
            words.append(f"d{self.num_codebooks}-k{self.codebook_size}")
        return "-".join(words)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def save(self, folder: Path) -> None:
        """Leave the setting for other processes."""
        (folder / "setting.json").write_text(json.dumps(self.as_dict()))

    @classmethod
    def load(cls, folder: Path) -> "Setting":
        """What :meth:`save` left."""
        return cls(**json.loads((folder / "setting.json").read_text()))
