"""What a large graph would take to prepare, code and train: from measured costs."""

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from kdgraph.training.plan import graph_bytes

DIGITS, CHOICES = 16, 256
"""Of the codes that the costs were measured with."""
LINK_BYTES = 1.25e9
"""That a machine gives to others in a second: 10 Gbit/s."""


@dataclass(frozen=True)
class Costs:
    """What a node, an entry of the adjacency and a step took, as measured.

    An entry is an edge in one direction. The numbers are those of the benchmark of
    large graphs on ten million nodes, which writes them beside this file.

    Args:
        nodes: Of the graph that was measured.
        cores: Of the machine.
        prepare_seconds: For an entry.
        prepare_bytes: Peak, whatever the size.
        code_seconds: For an entry.
        code_bytes: Peak for a node.
        step_seconds: For an edge that was drawn.
        step_bytes: Peak of training beside what grows with the nodes.
        node_bytes: That training takes for a node, graph and codes included.
        infer_seconds: For an entry and layer.
    """

    nodes: int
    cores: int
    prepare_seconds: float
    prepare_bytes: float
    code_seconds: float
    code_bytes: float
    step_seconds: float
    step_bytes: float
    node_bytes: float
    infer_seconds: float


@dataclass(frozen=True)
class Stage:
    """One stage of the way.

    Args:
        name: Which.
        disk_bytes: What it leaves on disk.
        memory_bytes: Its peak in one process.
        hours: On so many machines as :func:`plan_large` was told.
    """

    name: str
    disk_bytes: int
    memory_bytes: int
    hours: tuple[float, ...]


@cache
def measured_costs() -> Costs:
    """The costs that come with the package."""
    text = files("kdgraph.training").joinpath("measured_costs.json").read_text()
    return Costs(**json.loads(text))


def plan_large(
    num_nodes: int,
    num_edges: int,
    *,
    dim: int = 128,
    num_train: int | None = None,
    batch_size: int = 1024,
    fanout: tuple[int, ...] = (15, 10),
    epochs: int = 20,
    machines: tuple[int, ...] = (1, 4),
    costs: Costs | None = None,
) -> list[Stage]:
    r"""Disk, memory and hours of each stage, in proportion to what was measured.

    Preparing and coding grow with the entries of the adjacency, two for an edge; a
    training step with the edges that are drawn, at most

    .. math:: B \sum_l \prod_{i \le l} f_i

    for B nodes and fan-outs f; inference with entries and layers. Preparing and coding
    run on one machine; steps and inference are divided by their number, and an
    all-reduced gradient of the codebooks and of layers of ``dim`` channels is added to
    each step, at 10 Gbit/s. Memory of training is that of one machine, since every
    process holds graph and codes.

    Args:
        num_nodes: N.
        num_edges: Undirected edges.
        dim: C, of vectors and hidden layers. (default: ``128``)
        num_train: Training nodes. (default: a hundredth of all)
        batch_size: B. (default: ``1024``)
        fanout: f, the last layer's first. (default: ``(15, 10)``)
        epochs: How many, each with the scores of as many nodes as are trained on.
            (default: ``20``)
        machines: For how many the hours are wanted. (default: ``(1, 4)``)
        costs: In the place of :func:`measured_costs`. (default: ``None``)

    Raises:
        ValueError: A size out of range.

    Example:
        >>> stages = plan_large(111_059_956, 1_615_685_872, num_train=1_207_179)
        >>> [stage.name for stage in stages]
        ['prepare', 'codes', 'training', 'all scores']
        >>> max(stage.memory_bytes for stage in stages) < 64 << 30
        True
    """
    found = costs or measured_costs()
    train = max(1, num_nodes // 100) if num_train is None else num_train
    for name, value in (
        ("num_nodes", num_nodes),
        ("dim", dim),
        ("num_train", train),
        ("batch_size", batch_size),
        ("epochs", epochs),
        *(("fanout", number) for number in fanout),
        *(("machines", number) for number in machines),
    ):
        if value < 1:
            raise ValueError(f"{name} is at least 1, got {value}")
    entries, layers = 2 * num_edges, len(fanout)
    drawn = batch_size * sum(math.prod(fanout[: layer + 1]) for layer in range(layers))
    steps = epochs * -(-train // batch_size)
    gradient = 4 * (DIGITS * CHOICES * dim // DIGITS + 2 * layers * dim * dim)
    grown = int(found.step_bytes + found.node_bytes * num_nodes)
    hidden = min(4 << 30, 4 * num_nodes * dim)

    def alone(seconds: float) -> tuple[float, ...]:
        return tuple(seconds / 3600 for _ in machines)

    def shared(seconds: float, exchanged: float) -> tuple[float, ...]:
        return tuple(
            (seconds / count + (exchanged / LINK_BYTES if count > 1 else 0.0)) / 3600
            for count in machines
        )

    scored = layers * found.infer_seconds * entries
    share = min(1.0, train / num_nodes)
    learned = steps * drawn * found.step_seconds + epochs * share * scored
    return [
        Stage(
            "prepare",
            graph_bytes(num_nodes, num_edges, weighted=False) + 8 * num_nodes,
            int(found.prepare_bytes),
            alone(found.prepare_seconds * entries),
        ),
        Stage(
            "codes",
            DIGITS * num_nodes,
            int(found.code_bytes * num_nodes),
            alone(found.code_seconds * entries),
        ),
        Stage(
            "training",
            2 * DIGITS * num_nodes,
            grown,
            shared(learned, 2.0 * steps * gradient),
        ),
        Stage("all scores", 0, grown + hidden, shared(scored, 2.0 * num_nodes * dim)),
    ]
