"""What a product with codes costs, folded into the codebooks or after the sum."""

import torch

from kdgraph.composers import LinearForm

PRODUCT = 0.25
"""What a multiplication and addition in a matrix product costs, in additions along an
edge: products run from registers.
"""
CACHE_BYTES = 1 << 20
"""Bytes of codewords up to which they are read from a core's own cache."""
BEYOND = 2.0
"""What reading beyond that costs, times reading within."""


def fold_pays(form: LinearForm, num_edges: int, num_targets: int) -> bool:
    r"""Whether to fold the map into the codebooks before summing along edges.

    Folded, a codeword is as wide as the result, H, and D of them are added per edge;
    the product with the map is of :math:`R = \sum_j K_j` codewords. After the sum it is
    of M rows, and an edge adds D codewords of their own width d, W in all side by side:

    .. math:: E D H \, b(R H) + R d H / 4 \quad \text{against} \quad
        E D d \, b(R d) + M W H / 4

    with b = 2 for codebooks of more than 1 MiB, and else 1. Compiled code, which does
    not know the number of edges, compares H and d alone.

    Args:
        form: What is summed; its map takes W numbers to H.
        num_edges: E.
        num_targets: M.
    """
    matrix, books = form.matrix, form.codebooks
    if matrix is None:
        return False
    height, width = matrix.size(0), books.weight.size(1)
    if torch.compiler.is_compiling():
        return height <= width
    positions = len(books.sizes)
    rows = books.weight.size(0) if form.additive else sum(books.sizes)
    itemsize = books.weight.element_size()

    def along(size: int, wide: int) -> float:
        slow = size * wide * itemsize > CACHE_BYTES
        return num_edges * positions * wide * (BEYOND if slow else 1.0)

    folded = along(rows, height) + PRODUCT * rows * width * height
    after = along(books.weight.size(0), width)
    after += PRODUCT * num_targets * form.width * height
    return folded < after
