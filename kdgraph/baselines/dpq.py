"""Differentiable product quantisation, as published."""

from functools import partial
from typing import NamedTuple

from kdgraph.baselines.budget import check_budget
from kdgraph.baselines.coded_bytes import coded_bytes
from kdgraph.coders import SoftmaxCoder, VQCoder
from kdgraph.composers import ConcatComposer
from kdgraph.embedding import KDEmbedding

CHOICES = (2, 8, 16, 32, 128)
POSITIONS = (8, 10, 25, 32, 50, 128)
"""The authors' grids of K and D, with their defaults of 16 and 32 among them."""


class DPQSizes(NamedTuple):
    """Sizes of a differentiable product quantisation.

    Args:
        num_codebooks: Number of positions D.
        codebook_size: K.
    """

    num_codebooks: int
    codebook_size: int


def dpq_sx(
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    shared: bool = True,
    sparse: bool = False,
) -> KDEmbedding:
    r"""DPQ-SX: the largest by the authors' grids that takes at most ``max_bytes``.

    "Differentiable Product Quantization for End-to-End Embedding Compression" (Chen,
    Li, Sun, ICML 2020, section 2.2), with the settings of its code: a query as large as
    the table, :math:`Q \in \mathbb{R}^{N \times C}`, responses :math:`\langle q_{v,j},
    \kappa_{j,k} \rangle` batch-normalised without scale and centre,
    :math:`\tau = 1`, arg-max forward and softmax backward, values apart from the keys
    and side by side. As in their code the values of all positions are one codebook;
    the keys, which are dropped after training, are here one for each position.

    Training holds more than the table does: this compresses inference alone. See
    :func:`dpq_sizes` for K and D.

    Args:
        max_bytes: What codes and values may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        shared: One codebook for all positions. (default: ``True``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: Nothing fits.

    Example:
        >>> encoder = dpq_sx(40_000, num_nodes=1000, embedding_dim=64)
        >>> encoder.num_codebooks, encoder.codebook_sizes[0]
        (32, 128)
    """
    sizes = dpq_sizes(max_bytes, num_nodes, embedding_dim, shared=shared)
    coder = SoftmaxCoder(
        embedding_dim // sizes.num_codebooks,
        scale=1.0,
        normalize="batch",
        sparse=sparse,
    )
    composer = ConcatComposer(shared=shared, null_code=False)
    return KDEmbedding(
        num_nodes, embedding_dim, **sizes._asdict(), coder=coder, composer=composer
    )


def dpq_vq(
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    shared: bool = True,
    sparse: bool = False,
) -> KDEmbedding:
    r"""DPQ-VQ: the largest by the authors' grids that takes at most ``max_bytes``.

    The same paper, section 2.3, with the settings of its code: keys are the values,
    the nearest wins, the gradient is copied to the query, centroids follow with weight
    1, commitment has weight 0, and codewords that no node uses stay unused. Their code
    batch-normalises the responses here as well; squared distances are taken as they
    are here, so that the nearest does win.

    Args:
        max_bytes: What codes and values may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        shared: One codebook for all positions. (default: ``True``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: Nothing fits.

    Example:
        >>> encoder = dpq_vq(40_000, num_nodes=1000, embedding_dim=64)
        >>> encoder.inference_bytes() <= 40_000
        True
    """
    sizes = dpq_sizes(max_bytes, num_nodes, embedding_dim, shared=shared)
    coder = VQCoder(commitment_weight=0.0, restart_every=0, sparse=sparse)
    composer = ConcatComposer(shared=shared, null_code=False)
    return KDEmbedding(
        num_nodes, embedding_dim, **sizes._asdict(), coder=coder, composer=composer
    )


def dpq_sizes(
    max_bytes: int, num_nodes: int, embedding_dim: int, *, shared: bool = True
) -> DPQSizes:
    """K and D with the most bits a node that fit.

    K is 2, 8, 16, 32 or 128 and D 8, 10, 25, 32, 50 or 128, the grids of the authors,
    where D divides C; where none of these fits, or divides, D is any divisor of C below
    8. Of equals, the larger D is taken: by their ablation a small K with a large D does
    better than the reverse.

    Args:
        max_bytes: What codes and values may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        shared: One codebook for all positions. (default: ``True``)

    Raises:
        ValueError: Nothing fits.

    Example:
        >>> dpq_sizes(11_000_000, num_nodes=1_000_000, embedding_dim=128)
        DPQSizes(num_codebooks=8, codebook_size=128)
    """
    check_budget(max_bytes, num_nodes, embedding_dim, owner="DPQ")
    make = partial(ConcatComposer, shared=shared, null_code=False)
    for grid in (POSITIONS, range(1, POSITIONS[0])):
        fitting = [
            DPQSizes(count, size)
            for count in grid
            if embedding_dim % count == 0
            for size in CHOICES
            if coded_bytes(num_nodes, embedding_dim, (size,) * count, make) <= max_bytes
        ]
        if fitting:
            return max(fitting, key=_bits)
    least = coded_bytes(num_nodes, embedding_dim, (2,), make)
    raise ValueError(
        f"DPQ does not fit max_bytes={max_bytes}: one position of two choices takes "
        f"{least} bytes; allow more"
    )


def _bits(sizes: DPQSizes) -> tuple[int, int]:
    bits = (sizes.codebook_size - 1).bit_length()
    return sizes.num_codebooks * bits, sizes.num_codebooks
