"""Residual and product quantisation of vectors one already has."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdgraph.codes.kmeans import kmeans, nearest
from kdgraph.codes.quantization import Quantization
from kdgraph.codes.random import expand_sizes
from kdgraph.codes.rows import check_rows, count_distinct
from kdgraph.codes.table import CHUNK_ROWS, CodeTable


def residual_quantize(
    weight: Tensor,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    *,
    seed: int = 0,
) -> Quantization:
    r"""Quantise vectors, then what is left of them, D times over.

    Residual vector quantisation (Chen, Guan, Wang, Sensors 2010): position j holds the
    k-means clusters of :math:`r_j = x - \sum_{i<j} C_i[k_i]`, so each further position
    lowers the error :math:`\lVert x - \sum_j C_j[k_j] \rVert^2`. For those who have a
    trained table, and would replace it by codes.

    Where fewer than :math:`K_j` distinct residuals are left, the codebook of that
    position ends in rows of zeros that no code names; the alphabet stays as asked.

    Cost is that of D calls of :func:`kmeans`; memory is a float32 copy of ``weight``.

    Args:
        weight: Vectors ``[N, C]``.
        num_codebooks: Number of positions D.
        codebook_size: K, or one per position.
        seed: Of k-means. (default: ``0``)

    Returns:
        Codes, and codebooks ``[K_j, C]`` in float32.

    Raises:
        TypeError: Vectors that are not a floating point tensor, or sizes that are not
            integers.
        ValueError: Vectors that are not ``[N, C]`` or not finite, sizes out of range,
            or above the number of distinct vectors.

    Example:
        An encoder that begins where the table ends, and may be trained further:

        >>> from kdgraph import KDEmbedding
        >>> from kdgraph.coders import FixedCoder
        >>> from kdgraph.composers import SumComposer
        >>> table = torch.nn.Embedding(100, 8)
        >>> found = residual_quantize(table.weight, num_codebooks=4, codebook_size=16)
        >>> coder, composer = FixedCoder(found.codes), SumComposer(null_code=False)
        >>> encoder = KDEmbedding(100, 8, coder=coder, composer=composer)
        >>> with torch.no_grad():
        ...     _ = composer.weight.copy_(torch.cat(found.codebooks))
        >>> torch.allclose(encoder(), found.decode(), atol=1e-6)
        True
    """
    reader = "residual_quantize"
    sizes = expand_sizes(num_codebooks, codebook_size)
    residual = check_rows(weight, reader).clone()
    check_distinct(residual, max(sizes), reader)
    codes = torch.empty(len(residual), len(sizes), dtype=torch.int32)
    codebooks = []
    for position, size in enumerate(sizes):
        codebook, labels = _quantize(residual, size, position_seed(seed, position))
        codes[:, position] = labels
        codebooks.append(codebook)
        for start in range(0, len(residual), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            residual[rows] -= codebook[labels[rows]]
    return Quantization(
        CodeTable.from_codes(codes, sizes), tuple(codebooks), additive=True
    )


def product_quantize(
    weight: Tensor,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    *,
    seed: int = 0,
) -> Quantization:
    r"""Quantise each of D runs of C/D columns by itself.

    Product quantisation (Jégou, Douze, Schmid, PAMI 2011): position j holds the k-means
    clusters of the columns :math:`[jC/D, (j+1)C/D)`. For those who have a trained
    table, and would replace it by codes; :class:`kdgraph.composers.ConcatComposer`
    puts the codewords together again.

    Where a run has fewer than :math:`K_j` distinct parts, the codebook of that position
    ends in rows of zeros that no code names; the alphabet stays as asked.

    Cost is that of D calls of :func:`kmeans` on C/D columns.

    Args:
        weight: Vectors ``[N, C]``.
        num_codebooks: Number of positions D, which divides C.
        codebook_size: K, or one per position.
        seed: Of k-means. (default: ``0``)

    Returns:
        Codes, and codebooks ``[K_j, C/D]`` in float32.

    Raises:
        TypeError: Vectors that are not a floating point tensor, or sizes that are not
            integers.
        ValueError: Vectors that are not ``[N, C]`` or not finite, C that D does not
            divide, sizes out of range, or above the number of distinct vectors.

    Example:
        >>> weight = torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 1.0], [3.0, 2.0]])
        >>> found = product_quantize(weight, num_codebooks=2, codebook_size=2)
        >>> torch.equal(found.decode(), weight)
        True
    """
    reader = "product_quantize"
    sizes = expand_sizes(num_codebooks, codebook_size)
    rows = check_rows(weight, reader)
    if rows.size(1) % num_codebooks:
        raise ValueError(
            f"product_quantize expects a width that num_codebooks divides, got "
            f"{rows.size(1)} columns for {num_codebooks} codebooks"
        )
    check_distinct(rows, max(sizes), reader)
    codes = torch.empty(len(rows), len(sizes), dtype=torch.int32)
    codebooks = []
    parts = rows.chunk(num_codebooks, dim=1)
    for position, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        codebook, labels = _quantize(
            part.contiguous(), size, position_seed(seed, position)
        )
        codes[:, position] = labels
        codebooks.append(codebook)
    return Quantization(
        CodeTable.from_codes(codes, sizes), tuple(codebooks), additive=False
    )


def residual_encode(vectors: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    r"""Codes ``[B, D]`` of vectors ``[B, C]`` by codebooks that exist already.

    Greedy, as :func:`residual_quantize` assigned them: position j takes the codeword
    nearest to what the positions before it left.

    Example:
        >>> books = (torch.tensor([[0.0], [4.0]]), torch.tensor([[0.0], [1.0]]))
        >>> residual_encode(torch.tensor([[5.1], [0.8]]), books)
        tensor([[1, 1],
                [0, 1]])
    """
    residual = vectors.detach().float()
    columns = []
    for codebook in codebooks:
        labels = nearest(residual, codebook)
        columns.append(labels)
        residual = residual - codebook.detach()[labels]
    return torch.stack(columns, dim=1)


def check_distinct(rows: Tensor, most: int, reader: str) -> None:
    """Refuse an alphabet that the rows cannot fill.

    Raises:
        ValueError: Fewer than ``most`` distinct rows.
    """
    distinct = count_distinct(rows, most)
    if distinct < 2:
        raise ValueError(
            f"{reader} expects vectors that differ, got {len(rows)} that are all alike"
        )
    if distinct < most:
        raise ValueError(
            f"{reader} expects at least as many distinct vectors as choices, got "
            f"{distinct} distinct vectors for codebook_size={most}; choose a "
            f"codebook_size of at most {distinct}"
        )


def _quantize(rows: Tensor, size: int, seed: int) -> tuple[Tensor, Tensor]:
    centroids, labels = kmeans(rows, count_distinct(rows, size), seed=seed)
    codebook = rows.new_zeros(size, rows.size(1))
    codebook[: centroids.size(0)] = centroids
    return codebook, labels


def position_seed(seed: int, position: int) -> int:
    """A seed per position, so that no two positions draw alike.

    Example:
        >>> position_seed(0, 1) == position_seed(1, 0)
        False
    """
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(1 << 62, (position + 1,), generator=generator)[-1])
