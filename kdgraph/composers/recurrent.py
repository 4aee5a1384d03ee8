"""RecurrentComposer: an LSTM over the positions."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from kdgraph.composers.base import Composer
from kdgraph.composers.norm import Norm
from kdgraph.ops import Codebooks, Selection


class RecurrentComposer(Composer):
    r"""Read the codewords in order: :math:`e_v = W h + b`, with h from an LSTM.

    The composition ``rnn`` of the KD-encoding code (Chen, Min, Sun, ICML 2018): an
    LSTM, bidirectional if wanted, runs over the D codewords, and its last state or the
    mean of its outputs is mapped to ``embedding_dim``.

    Args:
        code_dim: Width of a codeword d. (default: ``embedding_dim / D``, at least 4)
        hidden_dim: Width of the LSTM state. (default: ``embedding_dim / 2``)
        bidirectional: Read in both directions. (default: ``False``)
        pool: ``"last"`` state or ``"mean"`` over positions. (default: ``"last"``)
        shared: One codebook for all positions. (default: ``False``)
        norm: ``"batch"``, ``"layer"`` or ``None``. (default: ``None``)
        null_code: Whether choice 0 of every position stands for zero and stays so; see
            :class:`Composer`. (default: ``True``)

    Shapes:
        - **input:** codes ``[*, D]``
        - **output:** vectors ``[*, C]``

    Raises:
        ValueError: An option out of range.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(
        ...     10, 8, num_codebooks=4, codebook_size=3, composer="recurrent"
        ... )
        >>> encoder().shape
        torch.Size([10, 8])
    """

    def __init__(
        self,
        code_dim: int | None = None,
        *,
        hidden_dim: int | None = None,
        bidirectional: bool = False,
        pool: Literal["last", "mean"] = "last",
        shared: bool = False,
        norm: Norm = None,
        null_code: bool = True,
    ) -> None:
        super().__init__(code_dim, shared=shared, norm=norm, null_code=null_code)
        if pool not in ("last", "mean"):
            raise ValueError(
                f"RecurrentComposer expects pool 'last' or 'mean', got {pool!r}"
            )
        if hidden_dim is not None and hidden_dim < 1:
            raise ValueError(
                f"RecurrentComposer expects hidden_dim of at least 1, got {hidden_dim}"
            )
        self.hidden_dim = hidden_dim
        self.bidirectional = bidirectional
        self.pool = pool

    def _default_width(self) -> int:
        return max(4, self.embedding_dim // len(self.codebook_sizes))

    def _build(self, width: int) -> None:
        hidden = self.hidden_dim or max(1, self.embedding_dim // 2)
        directions = 2 if self.bidirectional else 1
        # Cells, since an nn.LSTM can neither be compiled nor take an empty batch; over
        # a few positions a loop is as fast.
        self.cells = nn.ModuleList(
            nn.LSTMCell(width, hidden) for _ in range(directions)
        )
        self.last = nn.Linear(directions * hidden, self.embedding_dim)

    def _combine(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        steps = selection.gather(codebooks).unbind(dim=1)
        pooled = []
        for cell, order in zip(self.cells, (steps, steps[::-1]), strict=False):
            states = _hidden_states(cell, order)
            pooled.append(
                torch.stack(states).mean(dim=0) if self.pool == "mean" else states[-1]
            )
        composed: Tensor = self.last(torch.cat(pooled, dim=-1))
        return composed


def _hidden_states(cell: nn.Module, steps: Sequence[Tensor]) -> list[Tensor]:
    """The hidden state ``[B, H]`` after each step, from zeros."""
    hidden: list[Tensor] = []
    state: tuple[Tensor, Tensor] | None = None
    for step in steps:
        state = cell(step, state)
        hidden.append(state[0])
    return hidden
