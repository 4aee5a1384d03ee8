"""Encoders whose steps are measured, each with the optimizers it is trained by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.optim import Adam, Optimizer, SparseAdam

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder, SoftmaxCoder
from kdgraph.composers import ConcatComposer, SumComposer

BASELINE = "table"


class Model(NamedTuple):
    """What turns ids into vectors, and what moves it."""

    encoder: nn.Module
    optimizers: list[Optimizer]


@dataclass(frozen=True)
class Shape:
    """One kind of encoder.

    Args:
        label: How the page calls it.
        make: Number of nodes and width to the model.
        step_goal: What a step may take, times one of the table; ``None`` for no goal.
    """

    label: str
    make: Callable[[int, int], Model]
    step_goal: float | None = None


def _table(num_nodes: int, dim: int) -> Model:
    table = nn.Embedding(num_nodes, dim, sparse=True)
    return Model(table, [SparseAdam(table.parameters())])


def _learned(num_nodes: int, dim: int) -> Model:
    encoder = KDEmbedding(
        num_nodes,
        dim,
        num_codebooks=32,
        codebook_size=3,
        coder=SoftmaxCoder(sparse=True),
    )
    rows = SparseAdam(encoder.coder.parameters())
    return Model(encoder, [rows, Adam(encoder.composer.parameters())])


def _structural(num_nodes: int, dim: int) -> Model:
    # As auto picks on most graphs, ``tree:16x16+spectral:4x64``; random codes take
    # the time that derived ones take.
    sizes = (256, 64, 64, 64, 64)
    codes = torch.stack([torch.randint(size, (num_nodes,)) for size in sizes], dim=1)
    trees = ((16, 16), None, None, None, None)
    composer = SumComposer(16, null_code=False, storage="int8", trees=trees)
    encoder = KDEmbedding(num_nodes, dim, coder=FixedCoder(codes), composer=composer)
    return Model(encoder, [Adam(encoder.parameters())])


def _fixed(num_nodes: int, dim: int) -> Model:
    encoder = KDEmbedding(
        num_nodes,
        dim,
        num_codebooks=16,
        codebook_size=256,
        coder="fixed",
        composer=ConcatComposer(),
    )
    return Model(encoder, [Adam(encoder.parameters())])


SHAPES = {
    BASELINE: Shape("`nn.Embedding(sparse=True)`, `SparseAdam`", _table),
    "learned": Shape("softmax 32 x 3, concat, `SparseAdam`", _learned, 1.5),
    "auto": Shape("fixed 256 + 4 x 64, sum, 16 wide, int8", _structural, 1.0),
    "fixed": Shape("fixed 16 x 256, concat", _fixed),
}
