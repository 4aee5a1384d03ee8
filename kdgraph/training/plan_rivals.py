"""What every rival would cost within a budget, before training."""

from dataclasses import dataclass

from kdgraph.codes.place_map import map_bytes
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import without_memory
from kdgraph.training.plan import PlanRow
from kdgraph.training.reading import Reading
from kdgraph.training.rivals import DEFAULT_COMPRESSION, RIVALS


@dataclass(frozen=True)
class Unfit:
    """A rival whose smallest does not fit.

    Args:
        method: Its name.
        reason: A sentence.
    """

    method: str
    reason: str


def plan_rivals(
    num_nodes: int,
    dim: int,
    *,
    compression: float = DEFAULT_COMPRESSION,
    max_bytes: int | None = None,
) -> list[PlanRow | Unfit]:
    """Bytes of every rival of the registry, float32 and Adam, in its order.

    Each is made in the size that fits, without memory, and asked. Those whose size is
    not theirs to choose, such as a table or its rows in 8 bits, are counted whatever
    they take. Where a table is trained and something smaller kept of it, training is
    that of the table.

    Args:
        num_nodes: Number of nodes N.
        dim: Width of a vector C.
        compression: At least so many times smaller than a table. (default: ``50``)
        max_bytes: Instead, the bytes that may be kept. (default: ``None``)

    Raises:
        ValueError: A size out of range, or more bytes than 64 bits can count.

    Example:
        >>> low_rank = plan_rivals(10**9, 128)[1]
        >>> low_rank.method, low_rank.inference_bytes  # rank 2
        ('lowrank', 8000001024)
    """
    config = TrainConfig(
        method="full", dim=dim, compression=compression, max_bytes=max_bytes
    )
    # Sizes out of range are for the caller, and no rival's fault.
    with without_memory(f"{num_nodes} nodes of width {dim}"):
        RIVALS["full"].make(config, num_nodes, Reading())
    return [plan_rival(config.replace(method=name), num_nodes) for name in RIVALS]


def plan_rival(config: TrainConfig, num_nodes: int) -> PlanRow | Unfit:
    """Bytes of one rival, within the budget of its configuration.

    Args:
        config: Method, width and budget.
        num_nodes: Number of nodes N.
    """
    rival = RIVALS[config.method]
    try:
        with without_memory(f"{config.method} of {num_nodes} nodes"):
            trained = rival.make(config, num_nodes, Reading())
            kept = trained
            if rival.kept is not None:
                kept = rival.kept(config, num_nodes, Reading())
    except ValueError as error:
        return Unfit(config.method, str(error))
    in_order = kept.inference_bytes()
    stored = in_order + rival.ordered * map_bytes(num_nodes)
    trains = trained.training_bytes()
    return PlanRow(config.method, config, stored, trains, in_order)
