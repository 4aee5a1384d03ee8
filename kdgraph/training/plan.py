"""What every method would cost, before training: the encoders' own byte counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import (
    build_encoder,
    build_guidance,
    teacher_config,
    training_bytes,
    without_memory,
)


@dataclass(frozen=True)
class PlanRow:
    """Bytes of one method.

    Args:
        method: What it is, with its sizes.
        config: The configuration that trains it.
        inference_bytes: Kept after training.
        training_bytes: Weights, gradients and Adam state, codes included.
        inference_bytes_in_order: Kept where the graph is stored in the order that
            implies codes; where no order implies any, ``inference_bytes``.
    """

    method: str
    config: TrainConfig
    inference_bytes: int
    training_bytes: int
    inference_bytes_in_order: int


def plan(
    num_nodes: int,
    dim: int,
    *,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    query_dim: int = 1,
    rank: int = 4,
) -> list[PlanRow]:
    r"""Bytes of every method, float32 and Adam.

    With N nodes, width C, D positions of K choices and the concat composition: a table
    is 4 N C to store and 16 N C to train; codes are
    :math:`N \lceil D \lceil \log_2 K \rceil / 8 \rceil + 4 K C` to store; free logits
    train with 16 N D K, queries of width r with 16 N D r, and either with the
    codebooks' 16 K C. The encoders are built without memory and asked, so the counts
    are theirs to the byte.

    Args:
        num_nodes: N.
        dim: C.
        num_codebooks: D.
        codebook_size: K, or one per position.
        query_dim: r.
        rank: Of the low-rank table.

    Raises:
        ValueError: A size out of range, or D that does not divide C.
    """
    sizes = {"num_nodes": num_nodes, "dim": dim, "num_codebooks": num_codebooks}
    for name, value in (sizes | {"query_dim": query_dim, "rank": rank}).items():
        if value < 1:
            raise ValueError(f"{name} is at least 1, got {value}")
    if dim % num_codebooks:
        near = [d for d in range(1, dim + 1) if dim % d == 0]
        near.sort(key=lambda d: abs(d - num_codebooks))
        raise ValueError(
            f"num_codebooks={num_codebooks} does not divide dim={dim}, as the concat "
            f"composition needs; take {' or '.join(map(str, near[:2]))}"
        )
    size = codebook_size if isinstance(codebook_size, int) else tuple(codebook_size)
    kd = TrainConfig(
        composer="concat",
        guidance="none",
        dim=dim,
        num_codebooks=num_codebooks,
        codebook_size=size,
    )
    label = f"D={num_codebooks} K={size if isinstance(size, int) else 'mixed'}"
    query = kd.replace(query_dim=query_dim)
    configs = {
        "full table": kd.replace(method="full"),
        f"low rank r={rank}": kd.replace(method="lowrank", rank=rank),
        "label propagation": kd.replace(method="labelprop"),
        f"kd fixed {label}": kd.replace(coder="fixed"),
        f"kd softmax {label}, query {query_dim}": query,
        f"kd softmax {label}, free logits": kd.replace(query_dim=0),
        f"kd vq {label}": kd.replace(coder="vq"),
        f"kd softmax {label}, query {query_dim}, online teacher": query.replace(
            guidance="online"
        ),
        f"kd softmax {label}, query {query_dim}, trained teacher": query.replace(
            guidance="pretrained"
        ),
    }
    return [_row(method, config, num_nodes) for method, config in configs.items()]


def _row(method: str, config: TrainConfig, num_nodes: int) -> PlanRow:
    if config.method == "labelprop":
        return PlanRow(method, config, 0, 0, 0)
    with without_memory(f"{num_nodes} nodes of width {config.dim}"):
        encoder = build_encoder(config, num_nodes)
        teacher = None
        if config.guidance == "pretrained":
            teacher = build_encoder(teacher_config(config), num_nodes)
        guides = build_guidance(config, encoder, teacher)
    stored, trains = encoder.inference_bytes(), training_bytes(config, encoder, guides)
    return PlanRow(method, config, stored, trains, stored)


def graph_bytes(num_nodes: int, num_edges: int, *, weighted: bool = True) -> int:
    """Bytes of a symmetric CSR: columns and weights both ways, and row starts.

    Without weights as it lies on disk: columns by the number of nodes, and row starts
    of 8 bytes.

    Args:
        num_nodes: N.
        num_edges: Undirected edges.
        weighted: Whether edges have weights. (default: ``True``)

    Raises:
        ValueError: A negative number of edges.
    """
    if num_edges < 0:
        raise ValueError(f"num_edges is at least 0, got {num_edges}")
    if not weighted:
        column = 8 if num_nodes >= 2**31 else 4
        return 2 * num_edges * column + 8 * (num_nodes + 1)
    index = 8 if 2 * num_edges >= 2**31 else 4
    return 2 * num_edges * (index + 4) + index * (num_nodes + 1)
