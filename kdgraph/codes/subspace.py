"""Subspaces: orthogonal bases and singular vectors, computed where they stand.

A basis of C vectors over N nodes is held as panels ``[C / P, N, P]``. A product with a
matrix replaces one panel after the other, so that nothing of the size of the basis is
needed beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kdgraph.codes.progress import Progress, part

Product = Callable[[Tensor], Tensor]

PANEL = 32
"""Columns of a panel: at half precision, one line of the cache per node."""

BLOCK_ROWS = 1 << 15
_LOST = 1e-6
"""Squared length, as a share of the largest, that rounding leaves of nothing: in
vectors of half precision, and in products of float32 that are summed in float32."""
_LOST_EXACT = 1e-12
"""The same in vectors of float32 whose products are summed in float64."""


def random_panels(
    num_nodes: int, dim: int, *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Tensor:
    """Normal random numbers ``[C / P, N, P]``, drawn in blocks.

    Columns of the last panel beyond ``dim`` are zero, and stay so.
    """
    generator = torch.Generator().manual_seed(seed)
    width = min(dim, PANEL)
    panels = torch.empty(-(-dim // width), num_nodes, width, dtype=dtype)
    for panel in panels:
        for block in torch.split(panel, BLOCK_ROWS):
            block.copy_(torch.randn(block.shape, generator=generator))
    panels[-1, :, dim - (len(panels) - 1) * width :] = 0.0
    return panels


def row_blocks(panels: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The vectors ``[B, C]`` in float32, a block of nodes after the other."""
    for start in range(0, panels.size(1), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, panels.size(1)))
        yield rows, panels[:, rows].transpose(0, 1).flatten(1).float()


def flat(panels: Tensor, dim: int) -> Tensor:
    """The first columns as one matrix ``[N, dim]`` in float32."""
    return panels.transpose(0, 1).flatten(1)[:, :dim].float().contiguous()


def write_rows(panels: Tensor, rows: slice, vectors: Tensor) -> None:
    """Replace the vectors of some nodes."""
    panels[:, rows] = vectors.view(len(vectors), panels.size(0), -1).transpose(0, 1)


def orthogonalise(panels: Tensor) -> None:
    r"""Make the columns, in place, an orthogonal basis of what they span.

    :math:`X \leftarrow \sqrt N X V \Lambda^{-1/2}` with :math:`X^\top X = V \Lambda
    V^\top`: two passes over x in blocks of rows, where a QR decomposition takes several
    and a copy. Entries have a mean square of one, which suits half precision. Columns
    come in descending order of their weight in x; those lost in rounding are zero.

    Example:
        >>> x = torch.tensor([[3.0, 3.0], [4.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
        >>> orthogonalise(x[None])
        >>> x.abs().round(decimals=3)
        tensor([[1.2000, 0.0000],
                [1.6000, 0.0000],
                [0.0000, 0.0000],
                [0.0000, 0.0000]])
    """
    values, vectors, precision = _mean_eigen(panels)
    _rotate(panels, vectors * _power(values, -0.5), precision)


def _mean_eigen(panels: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    r"""Eigenvalues of :math:`X^\top X / N`, the largest first, and eigenvectors.

    Values that are rounding alone are zero. Products of float32 are computed again in
    float64 where they leave nothing of a direction that the vectors still hold; the
    precision that was needed is returned too.
    """
    precision, lost = torch.float32, _LOST
    values, vectors = _eigen(panels, precision)
    if panels.dtype == torch.float32 and bool((values <= lost * values[0]).any()):
        precision, lost = torch.float64, _LOST_EXACT
        values, vectors = _eigen(panels, precision)
    return torch.where(values > lost * values[0], values, 0.0), vectors, precision


def _eigen(panels: Tensor, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same, of whatever size, from products in a precision."""
    width = panels.size(0) * panels.size(2)
    total = torch.zeros(width, width, dtype=torch.float64)
    for _, rough in row_blocks(panels):
        block = rough.to(precision)
        total += block.t() @ block
    values, vectors = torch.linalg.eigh(total / panels.size(1))
    return values.flip(0), vectors.flip(1)


def apply(product: Product, panels: Tensor) -> None:
    """Replace X by M X, panel by panel."""
    for panel in panels:
        panel.copy_(product(panel))


def unit_rows(panels: Tensor) -> None:
    """Scale every vector to unit length, in place; zero stays zero."""
    for rows, block in row_blocks(panels):
        length = block.norm(dim=1, keepdim=True).clamp_min_(1e-12)
        write_rows(panels, rows, block / length)


def factorise(
    product: Product,
    transposed: Product,
    panels: Tensor,
    *,
    num_steps: int = 4,
    progress: Progress | None = None,
) -> None:
    r"""Turn random panels, in place, into singular vectors :math:`U \Sigma^{1/2}` of M.

    Randomised subspace iteration (Halko, Martinsson, Tropp, SIAM Review 2011, algorithm
    4.4) for the C largest singular values of a square matrix. Columns beyond the rank
    of M become zero, and so do singular values that rounding hides, below
    :math:`10^{-6}` of the largest. At half precision these are all below
    :math:`10^{-3}`, and a warning says how many columns are zero.

    Args:
        product: :math:`X \mapsto M X` for one panel.
        transposed: The same for :math:`M^\top X`.
        panels: Random start.
        num_steps: Rounds of :math:`M^\top` and M after the first product.
            (default: ``4``)
        progress: Called with the fraction done and the name of the stage.
    """
    report = part(progress, 0.0, 1.0)
    steps = 2 * num_steps + 3
    wanted = int(panels[:, 0].count_nonzero())  # beyond them are zeros from the start
    for step in range(steps - 1):
        apply(transposed if step % 2 else product, panels)
        report((step + 1) / steps, "factorise")
        if step < steps - 2:
            orthogonalise(panels)
    # With Q orthogonal, X = M^T Q = W S V^T, and M (X V) S^(-3/2) = U S^(1/2).
    values, vectors, precision = _mean_eigen(panels)
    found = int(values.count_nonzero())
    if found < wanted and panels.dtype != torch.float32:
        warnings.warn(
            f"{wanted - found} of {wanted} directions are left out: they are below "
            f"1/1000 of the largest, which {panels.dtype} cannot hold, or beyond the "
            "rank of the graph; give more memory for float32, or a smaller dim",
            stacklevel=2,
        )
    scale = _power(values, -0.75) * panels.size(1) ** -0.5
    _rotate(panels, vectors * scale, precision)
    apply(product, panels)
    report(1.0, "factorise")


def _rotate(panels: Tensor, matrix: Tensor, precision: torch.dtype) -> None:
    matrix = matrix.to(precision)
    for rows, block in row_blocks(panels):
        write_rows(panels, rows, (block.to(precision) @ matrix).float())


def _power(values: Tensor, exponent: float) -> Tensor:
    """Powers of eigenvalues, zero for those that are zero."""
    return torch.where(values > 0, values.clamp_min(1e-300) ** exponent, 0.0)
