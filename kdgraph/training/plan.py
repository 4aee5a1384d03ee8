"""What every method would cost, before training: exact arithmetic."""

from dataclasses import dataclass

from kdgraph.ops import row_bytes


@dataclass(frozen=True)
class PlanRow:
    """Bytes of one method.

    Args:
        method: What it is, with its sizes.
        inference_bytes: Kept after training.
        training_bytes: Weights, gradients and Adam state, codes included.
    """

    method: str
    inference_bytes: int
    training_bytes: int


def plan(
    num_nodes: int,
    dim: int,
    *,
    num_codebooks: int,
    codebook_size: int,
    query_dim: int = 1,
    rank: int = 4,
) -> list[PlanRow]:
    r"""Bytes of every method, float32 and Adam.

    With N nodes, width C, D positions of K choices and the concat composition: a table is
    4 N C to store and 16 N C to train; codes are :math:`N \lceil D \lceil \log_2 K \rceil /
    8 \rceil + 4 K C` to store; free logits train with :math:`16 N D K`, queries of width r
    with :math:`16 N D r`.

    Args:
        num_nodes: N.
        dim: C.
        num_codebooks: D.
        codebook_size: K.
        query_dim: r.
        rank: Of the low-rank table.

    Raises:
        ValueError: A size below 1, or D that does not divide C.
    """
    sizes = {"num_nodes": num_nodes, "dim": dim, "num_codebooks": num_codebooks}
    for name, value in (sizes | {"query_dim": query_dim, "rank": rank}).items():
        if value < 1:
            raise ValueError(f"{name} is at least 1, got {value}")
    if dim % num_codebooks:
        raise ValueError(
            f"dim={dim} is not a multiple of num_codebooks={num_codebooks}, which the "
            "concat composition needs; choose sizes that divide"
        )
    positions, size = num_codebooks, codebook_size
    codes = num_nodes * row_bytes([size] * positions)
    codebooks = 4 * size * dim
    stored = codes + codebooks
    logits = positions * size  # also the bias all nodes share
    label = f"D={positions} K={size}"
    table, low = 4 * num_nodes * dim, 4 * rank * (num_nodes + dim)
    rows = [
        PlanRow("full table", table, 4 * table),
        PlanRow(f"low rank r={rank}", low, 4 * low),
        PlanRow("label propagation", 0, 0),
        PlanRow(f"kd fixed {label}", stored, codes + 4 * codebooks),
        PlanRow(
            f"kd softmax {label}, query {query_dim}",
            stored,
            4 * codebooks
            + 16 * (num_nodes * positions * query_dim + logits * (query_dim + 1))
            + _TEMPERATURE,
        ),
        PlanRow(
            f"kd softmax {label}, free logits",
            stored,
            4 * codebooks + 16 * (num_nodes * logits + logits) + _TEMPERATURE,
        ),
        PlanRow(
            f"kd vq {label}", stored, 4 * codebooks + 4 * table
        ),
    ]
    teacher = 4 * table
    learned = rows[4]
    rows.append(
        PlanRow(
            f"{learned.method}, online distillation",
            stored,
            learned.training_bytes + teacher,
        )
    )
    return rows


_TEMPERATURE = 4
"""A learned coder keeps its temperature in a buffer of one float."""
