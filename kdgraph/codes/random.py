"""Codes that know nothing of the graph: random ones, and an enumeration."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kdgraph.codes.table import CHUNK_ROWS, CodeTable, check_codebook_sizes
from kdgraph.ops import pack, row_bytes


def random_codes(
    num_nodes: int,
    num_codebooks: int,
    codebook_size: int | Sequence[int],
    *,
    generator: torch.Generator | None = None,
) -> CodeTable:
    """Draw every code uniformly.

    The ``redundant`` start of the KD-encoding paper's code (ICML 2018).

    Args:
        num_nodes: Number of nodes N.
        num_codebooks: Number of positions D.
        codebook_size: K, or one per position.
        generator: Where the randomness comes from. (default: torch's global generator)

    Raises:
        ValueError: A size out of range.

    Example:
        >>> table = random_codes(100, 4, 8)
        >>> table.nbytes
        200
    """
    sizes = expand_sizes(num_codebooks, codebook_size)

    def columns(start: int, stop: int) -> list[Tensor]:
        rows = (stop - start,)
        return [torch.randint(size, rows, generator=generator) for size in sizes]

    return _packed(num_nodes, sizes, columns)


def compact_codes(
    num_nodes: int, num_codebooks: int, codebook_size: int | Sequence[int]
) -> CodeTable:
    r"""Number the nodes in mixed radix: distinct codes, as few positions as possible.

    The ``compact`` start of the KD-encoding paper's code (ICML 2018): node v gets the
    digits of v, the last position turning fastest.

    Raises:
        ValueError: A size out of range, or fewer than N combinations.

    Example:
        >>> compact_codes(6, 2, 3).codes()[4]
        tensor([1, 1])
    """
    sizes = expand_sizes(num_codebooks, codebook_size)
    combinations = 1
    for size in sizes:
        combinations *= size
    if combinations < num_nodes:
        raise ValueError(
            f"compact_codes needs at least {num_nodes} combinations, but K = {sizes} "
            f"has {combinations}; raise num_codebooks or codebook_size"
        )

    def columns(start: int, stop: int) -> list[Tensor]:
        rest = torch.arange(start, stop)
        digits: list[Tensor] = []
        for size in reversed(sizes):
            digits.insert(0, rest % size)
            rest = rest // size
        return digits

    return _packed(num_nodes, sizes, columns)


def expand_sizes(
    num_codebooks: int, codebook_size: int | Sequence[int]
) -> tuple[int, ...]:
    """One alphabet per position, from one number or D of them.

    Raises:
        TypeError: Something that is not an integer.
        ValueError: ``num_codebooks`` below 1, sizes out of range, or not D of them.
    """
    if isinstance(num_codebooks, bool) or not hasattr(num_codebooks, "__index__"):
        raise TypeError(f"num_codebooks is an integer, got {num_codebooks!r}")
    if num_codebooks < 1:
        raise ValueError(f"num_codebooks is at least 1, got {num_codebooks}")
    if isinstance(codebook_size, np.ndarray):
        codebook_size = codebook_size.tolist()
    if isinstance(codebook_size, Sequence):
        sizes = check_codebook_sizes(codebook_size)
        if len(sizes) != num_codebooks:
            raise ValueError(
                f"codebook_size as a sequence has one entry per position: got "
                f"{len(sizes)} entries for num_codebooks={num_codebooks}"
            )
        return sizes
    return check_codebook_sizes([codebook_size] * num_codebooks)


def _packed(
    num_nodes: int,
    sizes: tuple[int, ...],
    columns: Callable[[int, int], list[Tensor]],
) -> CodeTable:
    """Pack chunk by chunk what gives the codes of a range of nodes, by position."""
    if num_nodes < 1:
        raise ValueError(f"codes need at least one node, got num_nodes={num_nodes}")
    packed = torch.empty(num_nodes, row_bytes(sizes), dtype=torch.uint8)
    # Where only sizes are real, chunks of a billion nodes would take minutes.
    for start in () if packed.is_meta else range(0, num_nodes, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, num_nodes)
        packed[start:stop] = pack(torch.stack(columns(start, stop), dim=1), sizes)
    return CodeTable(packed, sizes)
