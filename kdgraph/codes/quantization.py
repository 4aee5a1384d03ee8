"""Quantization: codes together with the codebooks they were found with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdgraph.codes.table import CodeTable


@dataclass(frozen=True)
class Quantization:
    r"""Codes of a table of vectors, and the codebooks that give it back.

    Args:
        codes: The codes of N rows.
        codebooks: One per position: ``[K_j, C]`` where codewords are summed,
            ``[K_j, C/D]`` where they stand side by side.
        additive: Whether codewords are summed.

    Example:
        >>> from kdgraph.codes import residual_quantize
        >>> weight = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
        >>> found = residual_quantize(weight, num_codebooks=4, codebook_size=16)
        >>> bool((found.decode() - weight).square().mean() < 0.2)
        True
    """

    codes: CodeTable
    codebooks: tuple[Tensor, ...]
    additive: bool

    def decode(self, n_id: Tensor | None = None) -> Tensor:
        r"""Vectors of some nodes, or of all.

        :math:`\hat x_v = \sum_j C_j[k_{v,j}]`, or the same with the D codewords side
        by side.

        Shapes:
            - **n_id:** ``[B]``, or ``None`` for all nodes
            - **output:** ``[B, C]`` float32, or ``[N, C]``

        Raises:
            IndexError: Ids outside ``[0, N)``, on the CPU.
        """
        return decode(self.codes.codes(n_id), self.codebooks, additive=self.additive)


def decode(codes: Tensor, codebooks: tuple[Tensor, ...], *, additive: bool) -> Tensor:
    """Codewords of codes ``[B, D]``, summed or side by side.

    Example:
        >>> books = (torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [5.0]]))
        >>> decode(torch.tensor([[1, 1]]), books, additive=True)
        tensor([[7.]])
        >>> decode(torch.tensor([[1, 1]]), books, additive=False)
        tensor([[2., 5.]])
    """
    columns = zip(codebooks, codes.unbind(dim=1), strict=True)
    if not additive:
        return torch.cat([book[column] for book, column in columns], dim=1)
    total = codebooks[0].new_zeros(codes.size(0), codebooks[0].size(1))
    for book, column in columns:
        total += book[column]
    return total
