"""A trained table quantised afterwards: product, rotated product or residual."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from kdgraph.baselines.budget import check_budget
from kdgraph.baselines.coded_bytes import coded_bytes
from kdgraph.baselines.opq import learn_rotation, sample_rows
from kdgraph.codes import CodeTable, product_quantize, residual_quantize
from kdgraph.codes.rows import check_rows, count_distinct
from kdgraph.composers import ConcatComposer, LinearComposer, SumComposer
from kdgraph.composers.stored_linear import StoredLinear
from kdgraph.ops import Storage, row_bytes
from kdgraph.packed import PackedEmbedding

SAMPLE_ROWS = 1 << 14
"""Rows that sizes are tried on at most."""
Method = Literal["pq", "opq", "rq"]
METHODS = ("pq", "opq", "rq")
LARGEST_ALPHABET = 256
MOST_POSITIONS = 32
"""Positions of a residual quantisation at most; of a product it is C."""


class Sizes(NamedTuple):
    """Sizes of a quantisation.

    Args:
        num_codebooks: Number of positions D.
        codebook_size: K.
    """

    num_codebooks: int
    codebook_size: int


def quantize_table(
    table: Tensor,
    method: Method = "pq",
    *,
    max_bytes: int,
    seed: int = 0,
    storage: Storage = None,
) -> PackedEmbedding:
    r"""Replace a trained table by codes that lose as little of it as they can.

    ``"pq"`` is product quantisation (Jégou, Douze, Schmid, PAMI 2011), ``"opq"`` the
    same under a learned rotation (Ge et al., CVPR 2013), kept as the projection of the
    composer, and ``"rq"`` residual quantisation (Chen, Guan, Wang, Sensors 2010). The
    codebooks are the centroids, and nothing is trained afterwards.

    Of the sizes in :func:`fitting_sizes`, those with at least three quarters of the
    most bits a node are tried on a random sample of 16,384 rows, and what has the least
    squared error there is taken; for ``"opq"`` that is found without the rotation.

    Args:
        table: Vectors ``[N, C]``.
        method: ``"pq"``, ``"opq"`` or ``"rq"``. (default: ``"pq"``)
        max_bytes: What codes and codebooks may take.
        seed: Of k-means. (default: ``0``)
        storage: What codebooks and rotation are rounded to: ``"bfloat16"``, ``"int8"``
            or ``None``, as published, for float32. (default: ``None``)

    Raises:
        TypeError: Not a floating point tensor.
        ValueError: Not ``[N, C]``, not finite, all alike, an unknown method, or a
            budget below the smallest quantisation.

    Example:
        >>> table = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> packed = quantize_table(table, "rq", max_bytes=3000)
        >>> packed.inference_bytes() <= 3000
        True
    """
    rows = check_rows(table, "quantize_table")
    sample = sample_rows(rows, SAMPLE_ROWS, seed)
    tried = fitting_sizes(
        method,
        max_bytes,
        rows.size(0),
        rows.size(1),
        storage=storage,
        most_choices=count_distinct(sample, LARGEST_ALPHABET),
    )
    quantize = residual_quantize if method == "rq" else product_quantize
    enough = 3 * _bits(tried[0])[0] / 4
    tried = [sizes for sizes in tried if _bits(sizes)[0] >= enough]
    sizes, least = tried[0], math.inf
    for other in tried if len(tried) > 1 else ():
        decoded = quantize(sample, *other, seed=seed).decode()
        error = float((decoded - sample).square().sum())
        if error < least:
            sizes, least = other, error
    mean = rows.mean(dim=0)
    if method == "opq":
        rotation = learn_rotation(rows, *sizes, seed=seed)
        rows = (rows - mean) @ rotation
    found = quantize(rows, *sizes, seed=seed)
    composer = _composer(method, sizes, rows.size(1), storage)
    with torch.no_grad():
        composer.weight.copy_(torch.cat(found.codebooks))
        if isinstance(composer.projection, StoredLinear):
            composer.projection.weight.copy_(rotation)
            composer.projection.bias.copy_(mean)
    return PackedEmbedding(found.codes, composer).to(table.dtype)


def fitting_sizes(
    method: Method,
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    storage: Storage = None,
    most_choices: int = LARGEST_ALPHABET,
) -> list[Sizes]:
    """For each K, a power of two up to 256, the largest D that fits.

    Of a product D divides C; of a residual quantisation it is at most 32. Those with
    the most bits a node come first, of equals the larger K.

    Args:
        method: ``"pq"``, ``"opq"`` or ``"rq"``.
        max_bytes: What codes and codebooks may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        storage: What codebooks and rotation are rounded to. (default: ``None``)
        most_choices: No K is above it. (default: ``256``)

    Raises:
        ValueError: An unknown method, or nothing fits.

    Example:
        >>> fitting_sizes("pq", 1_000_000, num_nodes=100_000, embedding_dim=64)[0]
        Sizes(num_codebooks=8, codebook_size=256)
    """
    if method not in METHODS:
        raise ValueError(
            f"quantize_table expects method 'pq', 'opq' or 'rq', got {method!r}"
        )
    check_budget(max_bytes, num_nodes, embedding_dim, owner="quantize_table")
    counts = [
        count
        for count in range(1, (MOST_POSITIONS if method == "rq" else embedding_dim) + 1)
        if method == "rq" or embedding_dim % count == 0
    ]

    def taken(count: int, size: int) -> int:
        make = partial(_unbound, method, count, embedding_dim, storage)
        return coded_bytes(num_nodes, embedding_dim, (size,) * count, make)

    fitting, smallest = [], taken(1, 2)
    for bits in range(1, LARGEST_ALPHABET.bit_length()):
        if 1 << bits > most_choices and bits > 1:
            break
        largest = _largest(counts, partial(taken, size=1 << bits), max_bytes)
        if largest:
            fitting.append(Sizes(largest, 1 << bits))
    if not fitting:
        raise ValueError(
            f"quantize_table does not fit max_bytes={max_bytes}: one position of two "
            f"choices takes {smallest} bytes; allow more"
        )
    return sorted(fitting, key=_bits, reverse=True)


def unfilled(
    method: Method,
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    storage: Storage = None,
) -> PackedEmbedding:
    """A quantisation of the first of :func:`fitting_sizes`, its codes all zero.

    For bytes to be counted before there is a table; on the meta device it takes none.
    """
    sizes = fitting_sizes(method, max_bytes, num_nodes, embedding_dim, storage=storage)[
        0
    ]
    alphabets = (sizes.codebook_size,) * sizes.num_codebooks
    packed = torch.zeros(num_nodes, row_bytes(alphabets), dtype=torch.uint8)
    composer = _composer(method, sizes, embedding_dim, storage)
    return PackedEmbedding(CodeTable(packed, alphabets), composer)


def _unbound(
    method: Method, num_codebooks: int, embedding_dim: int, storage: Storage
) -> LinearComposer:
    if method == "rq":
        return SumComposer(null_code=False, storage=storage)
    width = embedding_dim // num_codebooks if method == "opq" else None
    return ConcatComposer(width, null_code=False, storage=storage)


def _composer(
    method: Method, sizes: Sizes, embedding_dim: int, storage: Storage
) -> LinearComposer:
    composer = _unbound(method, sizes.num_codebooks, embedding_dim, storage)
    composer.bind((sizes.codebook_size,) * sizes.num_codebooks, embedding_dim)
    return composer


def _largest(
    counts: list[int], bytes_of: Callable[[int], int], max_bytes: int
) -> int | None:
    """The largest of some counts that fits; bytes grow with them."""
    low, high = 0, len(counts)
    while low < high:
        middle = (low + high) // 2
        if bytes_of(counts[middle]) <= max_bytes:
            low = middle + 1
        else:
            high = middle
    return counts[low - 1] if low else None


def _bits(sizes: Sizes) -> tuple[int, int]:
    bits = (sizes.codebook_size - 1).bit_length()
    return sizes.num_codebooks * bits, sizes.codebook_size
