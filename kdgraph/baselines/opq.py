"""The rotation of optimised product quantisation."""

from itertools import chain

import torch
from torch import Tensor

from kdgraph.codes import product_quantize
from kdgraph.codes.kmeans import nearest
from kdgraph.codes.rows import check_rows

SAMPLE_ROWS = 1 << 16
"""Rows the rotation is learned from at most."""


def learn_rotation(
    weight: Tensor,
    num_codebooks: int,
    codebook_size: int,
    *,
    seed: int = 0,
    num_steps: int = 30,
) -> Tensor:
    r"""The rotation R under which product quantisation of centred rows loses least.

    "Optimized Product Quantization for Approximate Nearest Neighbor Search" (Ge et al.,
    CVPR 2013). It starts from their parametric solution: eigenvectors of the
    covariance, dealt to the positions so that the products of their eigenvalues are
    alike. Then it alternates, as their non-parametric solution does, between a step of
    k-means in each position of X R, which gives :math:`\hat Y`, and the rotation
    that brings X nearest to it,

    .. math:: R = U V^\top, \quad U S V^\top = X^\top \hat Y.

    It is learned from a random sample of 65,536 rows, and costs a product-quantisation
    and ``num_steps`` times :math:`O(M (K + C) C)` for a sample of M.

    Args:
        weight: Vectors ``[N, C]``.
        num_codebooks: Number of positions D, which divides C.
        codebook_size: K.
        seed: Of the sample and of k-means. (default: ``0``)
        num_steps: Rounds of the alternation. (default: ``30``)

    Returns:
        R, float32 ``[C, C]``; what is quantised is ``(weight - mean) @ R``.

    Raises:
        TypeError: Vectors that are not a floating point tensor.
        ValueError: What ``product_quantize`` refuses.

    Example:
        >>> weight = torch.randn(200, 4) @ torch.randn(4, 4)
        >>> rotation = learn_rotation(weight, num_codebooks=2, codebook_size=8)
        >>> torch.allclose(rotation @ rotation.t(), torch.eye(4), atol=1e-5)
        True
    """
    rows = check_rows(weight, "learn_rotation")
    rows = sample_rows(rows, SAMPLE_ROWS, seed)
    rows = rows - rows.mean(dim=0)
    rotation = _balanced_eigenvectors(rows, num_codebooks)
    found = product_quantize(rows @ rotation, num_codebooks, codebook_size, seed=seed)
    books = [book.to(rows.device) for book in found.codebooks]
    for _ in range(num_steps):
        parts = (rows @ rotation).chunk(num_codebooks, dim=1)
        coded = []
        for position, part in enumerate(parts):
            labels = nearest(part, books[position])
            books[position] = _means(part, labels, books[position])
            coded.append(books[position][labels])
        left, _, right = torch.linalg.svd(rows.t() @ torch.cat(coded, dim=1))
        rotation = left @ right
    return rotation


def sample_rows(rows: Tensor, most: int, seed: int) -> Tensor:
    """Some rows at random, or all where those are few.

    Example:
        >>> sample_rows(torch.ones(5, 2), 3, seed=0).shape
        torch.Size([3, 2])
    """
    if rows.size(0) <= most:
        return rows
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(rows.size(0), generator=generator)[:most]
    return rows[drawn.to(rows.device)]


def _balanced_eigenvectors(rows: Tensor, num_codebooks: int) -> Tensor:
    """Eigenvectors as columns, those of a position side by side."""
    values, vectors = torch.linalg.eigh(rows.t().double() @ rows.double())
    share = values.numel() // num_codebooks
    floor = values.max().clamp(min=1e-300) * 1e-12
    logs = (values.clamp(min=float(floor)) / floor).log().tolist()
    dealt: list[list[int]] = [[] for _ in range(num_codebooks)]
    products = [0.0] * num_codebooks
    for column in reversed(range(len(logs))):  # the largest eigenvalue first
        open_ = [at for at in range(num_codebooks) if len(dealt[at]) < share]
        least = min(open_, key=lambda at: products[at])
        dealt[least].append(column)
        products[least] += logs[column]
    order = torch.tensor(list(chain(*dealt)), device=rows.device)
    ordered: Tensor = vectors[:, order].to(rows.dtype)
    return ordered


def _means(rows: Tensor, labels: Tensor, before: Tensor) -> Tensor:
    """Means of clusters; one that ran empty stays where it was."""
    sums = torch.zeros_like(before).index_add_(0, labels, rows)
    count = labels.bincount(minlength=before.size(0)).unsqueeze(1)
    return torch.where(count > 0, sums / count.clamp(min=1), before)
