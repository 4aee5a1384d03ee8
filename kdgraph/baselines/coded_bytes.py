"""Bytes of codes and a composer, before there are any."""

from collections.abc import Callable, Sequence

import torch

from kdgraph.composers import Composer
from kdgraph.ops import row_bytes


def coded_bytes(
    num_nodes: int,
    embedding_dim: int,
    codebook_sizes: Sequence[int],
    make: Callable[[], Composer],
) -> int:
    """Exact bytes of an encoder of codes, without making it.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        codebook_sizes: The alphabet of each position.
        make: A composer that is not bound.

    Example:
        >>> from kdgraph.composers import SumComposer
        >>> coded_bytes(10**9, 64, [256] * 4, SumComposer) - 4 * 10**9
        262144
    """
    with torch.device("meta"):
        composer = make()
        composer.bind(tuple(codebook_sizes), embedding_dim)
    return num_nodes * row_bytes(codebook_sizes) + composer.stored_bytes()
