"""Teacher: a full table and the network it was trained with, to go on from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.text_classification.network import SentenceClassifier
from kdgraph.codes import CodeTable, residual_quantize
from kdgraph.encoder import Encoder

_RIDGE = 1e-3
"""Beside counts of words, which are 1 and more; an unused codeword stays at zero."""


@dataclass(frozen=True)
class Teacher:
    r"""A full table and the network that reads it.

    A network that reads vectors by a linear map, :math:`x A`, tells two of them apart
    along the axes of A alone. So codes and thin factors are those of the table's
    :math:`T A`, of which fewer numbers say more than of T; what stands for them is then
    fitted to the table itself, by least squares.

    Args:
        table: The trained encoder, a full table.
        network: With it; the state of all but the encoder is gone on from.
    """

    table: Encoder
    network: SentenceClassifier

    def continue_in(self, model: SentenceClassifier) -> None:
        """Give a new model, of another encoder, what the network has learned."""
        learned = {
            name: value
            for name, value in self.network.state_dict().items()
            if not name.startswith(("encoder.", "guidance."))
        }
        model.load_state_dict(model.state_dict() | learned)

    @torch.no_grad()
    def codes(
        self, num_codebooks: int, codebook_size: int, seed: int
    ) -> tuple[CodeTable, Tensor]:
        """Codes of the words, and codebooks ``[D K, C]`` whose sums meet the table."""
        table = self.table()
        sizes = num_codebooks, codebook_size
        read = self.network.responses(table)
        codes = residual_quantize(read, *sizes, seed=seed).codes
        places = codes.codes().long() + codebook_size * torch.arange(num_codebooks)
        chosen = torch.zeros(len(table), num_codebooks * codebook_size)
        chosen.scatter_(1, places, 1.0)
        return codes, _fit(chosen, table)

    @torch.no_grad()
    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """Factors ``[N, r]`` and ``[r, C]`` of the table."""
        table = self.table()
        left, scale, _ = torch.linalg.svd(
            self.network.responses(table), full_matrices=False
        )
        rows = left[:, :rank] * scale[:rank].sqrt()
        return rows, torch.linalg.lstsq(rows, table).solution


def _fit(chosen: Tensor, table: Tensor) -> Tensor:
    """Codewords whose sums are nearest to the rows of a table, slightly shrunk."""
    together = chosen.T @ chosen
    together.diagonal().add_(_RIDGE)
    return torch.cholesky_solve(chosen.T @ table, torch.linalg.cholesky(together))
