"""Inputs: what a rival reads, loaded when it asks."""

import math
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.message_passing.setting import Setting

_CHUNK_ROWS = 1 << 16


class Inputs:
    """What lies in a folder, as tensors.

    Args:
        folder: Where :func:`benchmarks.message_passing.graphs.write_arrays` left it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.setting = Setting.load(folder)

    def _read(self, name: str) -> Tensor:
        return torch.from_numpy(np.load(self.folder / f"{name}.npy"))

    @cached_property
    def rowptr(self) -> Tensor:
        """``int32`` ``[N + 1]``."""
        return self._read("rowptr")

    @cached_property
    def col(self) -> Tensor:
        """``int32`` ``[E]``."""
        return self._read("col")

    @cached_property
    def weight(self) -> Tensor:
        """``float32`` ``[E]``."""
        return self._read("weight")

    @cached_property
    def codes(self) -> Tensor:
        """``uint8`` ``[N, D]``."""
        return self._read("codes")

    @cached_property
    def codebooks(self) -> Tensor:
        """``float32`` ``[D, K, S]``."""
        return self._read("codebooks")

    @cached_property
    def n_id(self) -> Tensor:
        """Rows that the gather reads, ``int64``."""
        return self._read("n_id")

    @cached_property
    def y(self) -> Tensor:
        """A class per node, ``int64`` ``[N]``."""
        return self._read("y")

    @cached_property
    def train_idx(self) -> Tensor:
        """Nodes that are trained on, ``int64``."""
        return self._read("train_idx")

    def adjacency(self) -> Tensor:
        """The graph as ``torch.sparse`` CSR ``[N, N]``, with int32 indices.

        MKL, which multiplies it, copies int64 ones to int32 at every call.
        """
        nodes = self.setting.num_nodes
        # Columns are in no order within a row, which MKL does not mind.
        return torch.sparse_csr_tensor(
            self.rowptr, self.col, self.weight, (nodes, nodes), check_invariants=False
        )

    def edge_index(self) -> Tensor:
        """The graph as PyG's ``[2, E]`` int64, sorted by target."""
        edges = torch.empty((2, self.col.numel()), dtype=torch.int64)
        edges[0] = self.col
        degree = self.rowptr.diff().long()
        edges[1] = torch.repeat_interleave(torch.arange(len(degree)), degree)
        return edges

    def decode(self, out: Tensor) -> Tensor:
        """Write the vectors of all nodes into ``[N, C]``, by plain look-ups."""
        width = self.codebooks.size(2)
        for codes, rows in zip(
            torch.split(self.codes, _CHUNK_ROWS),
            torch.split(out, _CHUNK_ROWS),
            strict=True,
        ):
            for j, book in enumerate(self.codebooks):
                rows[:, j * width : (j + 1) * width] = book[codes[:, j].int()]
        return out

    def table(self) -> Tensor:
        """The float table that says the same as the codes, ``[N, C]``."""
        return self.decode(torch.empty(self.setting.num_nodes, self.setting.channels))

    def linear(self, layer: int, rows: int, columns: int) -> Tensor:
        """The weight ``[rows, columns]`` of a layer's linear map."""
        generator = torch.Generator().manual_seed(self.setting.seed + 100 + layer)
        drawn = torch.randn(rows, columns, generator=generator)
        return drawn / math.sqrt(columns)

    def upstream_factors(self) -> tuple[Tensor, Tensor]:
        """Two vectors, ``[N]`` and ``[C]``, whose outer product is the gradient."""
        generator = torch.Generator().manual_seed(self.setting.seed + 200)
        by_node = torch.rand(self.setting.num_nodes, generator=generator) + 0.5
        by_channel = torch.randn(self.setting.channels, generator=generator)
        return by_node, by_channel

    def upstream(self) -> Tensor:
        """The gradient by the output that a backward pass begins with, ``[N, C]``.

        Of rank one, so that :mod:`benchmarks.message_passing.exact` can follow it
        without a table; it is as large, and takes as long, as any other.
        """
        by_node, by_channel = self.upstream_factors()
        return torch.outer(by_node, by_channel)
