"""Setting: how large the graph is, and what is done on it."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EDGES_PER_NODE = 10
"""Undirected edges; a node has twice as many neighbours on average."""
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Setting:
    """One graph, and the sizes of codes, batches and network.

    Args:
        num_nodes: Number of nodes N; the graph has ten undirected edges for each.
        num_codebooks: Number of positions D.
        codebook_size: Choices K per position.
        channels: Width of a vector C, and of the hidden layer.
        batch_size: Nodes that a batch begins with.
        num_neighbors: How many are drawn at each hop of training.
        batches: How many count, in one process.
        warm_up: Batches before them.
        rounds: Times that processes take turns, where several are compared.
        threads: Of every process, unless a step says otherwise.
        memory: Bytes of float arrays over nodes while codes are made.
        codes: What is trained on: ``"made"``, where codes were, or ``"random"``.
        seed: Of everything that is drawn.

    Raises:
        ValueError: A size below 1.
    """

    num_nodes: int
    num_codebooks: int = 16
    codebook_size: int = 256
    channels: int = 128
    batch_size: int = 1024
    num_neighbors: tuple[int, ...] = (15, 10)
    batches: int = 100
    warm_up: int = 10
    rounds: int = 3
    threads: int = 2
    memory: int = 4 << 30
    codes: str = "made"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "codes":
                continue
            lowest = 0 if field.name in ("seed", "warm_up") else 1
            numbers = value if isinstance(value, tuple) else (value,)
            if min(numbers) < lowest:
                raise ValueError(
                    f"Setting expects {field.name} of at least {lowest}, got {value}"
                )

    @property
    def num_edges(self) -> int:
        """Undirected edges of the graph; on disk each is stored both ways."""
        return EDGES_PER_NODE * self.num_nodes

    @property
    def size(self) -> str:
        """A name for the graph."""
        for unit, scale in reversed(_UNITS.items()):
            if self.num_nodes % scale == 0:
                return f"{self.num_nodes // scale}{unit}"
        raise AssertionError

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self) | {"num_edges": self.num_edges}

    def save(self, folder: Path) -> None:
        """Leave the setting for other processes."""
        (folder / "setting.json").write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "Setting":
        """What :meth:`save` left."""
        found = json.loads((folder / "setting.json").read_text())
        return cls(**found | {"num_neighbors": tuple(found["num_neighbors"])})


def node_count(text: str) -> int:
    """Read a number of nodes such as ``10m``, ``20k`` or ``1234``.

    Raises:
        ValueError: Not such a text.
    """
    match = re.fullmatch(r"([1-9]\d*)([km]?)", text.strip().lower())
    if match is None:
        raise ValueError(
            f"a number of nodes is written like 10m, 20k or 1234, got {text!r}"
        )
    return int(match.group(1)) * _UNITS[match.group(2)]
