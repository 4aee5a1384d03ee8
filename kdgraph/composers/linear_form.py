"""LinearForm: vectors as a linear map of the codewords a node chose."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdgraph.ops import Codebooks


@dataclass(frozen=True, eq=False)
class LinearForm:
    r"""Vectors :math:`x_v = M p_v + c`, with p the codewords side by side or summed.

    .. math:: p_v = [C_1[k_{v,1}], ..., C_D[k_{v,D}]]
        \quad \text{or} \quad p_v = \sum_j C_j[k_{v,j}]

    Args:
        codebooks: The codewords, d wide.
        additive: Whether codewords are summed, W = d, or stand side by side, W = D d.
        matrix: M, ``[C, W]``; ``None`` for the identity.
        bias: c, ``[C]``; ``None`` for zeros.

    Example:
        >>> books = Codebooks(torch.tensor([[1.0], [2.0]]), torch.tensor([0]), (2,))
        >>> form = LinearForm(books, additive=True).shifted(torch.tensor([1.0]))
        >>> form = form.mapped(torch.tensor([[10.0]]))
        >>> form.folded().weight.flatten(), form.bias
        (tensor([10., 20.]), tensor([10.]))
    """

    codebooks: Codebooks
    additive: bool
    matrix: Tensor | None = None
    bias: Tensor | None = None

    @property
    def width(self) -> int:
        """Width W of the codewords before the map."""
        positions = 1 if self.additive else len(self.codebooks.sizes)
        return self.codebooks.weight.size(1) * positions

    def mapped(self, weight: Tensor) -> "LinearForm":
        """The form of ``x @ weight.T``."""
        matrix = weight if self.matrix is None else weight @ self.matrix
        bias = None if self.bias is None else weight @ self.bias
        return replace(self, matrix=matrix, bias=bias)

    def shifted(self, bias: Tensor) -> "LinearForm":
        """The form of ``x + bias``."""
        return replace(self, bias=bias if self.bias is None else self.bias + bias)

    def detached(self) -> "LinearForm":
        """The form without gradients."""
        books = self.codebooks._replace(weight=self.codebooks.weight.detach())
        matrix = None if self.matrix is None else self.matrix.detach()
        bias = None if self.bias is None else self.bias.detach()
        return replace(self, codebooks=books, matrix=matrix, bias=bias)

    def folded(self) -> Codebooks:
        """Codebooks whose codewords, summed, are :math:`M p_v`."""
        books, matrix = self.codebooks, self.matrix
        if matrix is None:
            matrix = torch.eye(self.width, dtype=books.weight.dtype)
            matrix = matrix.to(books.weight.device)
        if self.additive:
            return books._replace(weight=books.weight @ matrix.t())
        sizes = books.sizes
        by_position = torch.unflatten(matrix, 1, (len(sizes), -1))
        blocks = torch.einsum("jks,hjs->jkh", books.padded(), by_position)
        if min(sizes) == max(sizes):
            rows = blocks.flatten(0, 1)
        else:
            pairs = zip(blocks, sizes, strict=True)
            rows = torch.cat([block[:size] for block, size in pairs])
        starts = torch.tensor([0, *sizes[:-1]], device=rows.device).cumsum(0)
        return Codebooks(rows, starts, sizes)
