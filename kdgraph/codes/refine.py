"""Codes chosen anew, greedily, toward vectors they should compose to."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.ops import at_least_float32
from kdgraph.ops.positions import position_offsets
from kdgraph.ops.straight_through import row_chunks


@torch.no_grad()
def refine_codes(
    codes: Tensor,
    basis: Tensor,
    target: Tensor,
    codebook_sizes: Sequence[int],
    *,
    movable: Tensor | None = None,
    num_sweeps: int = 1,
) -> Tensor:
    r"""Re-choose codes so that their sum comes closer to a target.

    Cyclic coordinate descent on :math:`\|t_v - \sum_j B_j[k_{v,j}]\|^2`: one position
    after the other takes the codeword nearest to what the others leave of the target,

    .. math:: k_{v,j} \leftarrow
        \arg\min_k \|t_v - \sum_{i \ne j} B_i[k_{v,i}] - B_j[k]\|^2,

    and keeps its own where none is nearer, so the error never grows. It is the encoding
    step of additive quantisation (Babenko and Lempitsky, CVPR 2014) by iterated
    conditional modes.

    Time is :math:`O(B \sum_j K_j c_j)` a sweep, with :math:`c_j` the columns from the
    first to the last in which some codeword of position j is not zero: under a
    concatenation without projection they add up to C, and one sweep is exact. Codes
    that may not move cost nothing. Working memory is some ten blocks of 16 MiB whatever
    B is, beside the result.

    Args:
        codes: ``[B, D]`` integers, column ``j`` in ``[0, K_j)``; not changed.
        basis: ``[sum(K_j), C]``, what each choice of each position adds to a vector:
            :meth:`kdgraph.composers.LinearComposer.basis`.
        target: ``[B, C]``.
        codebook_sizes: The alphabet of each position, D of them.
        movable: Booleans ``[B, D]`` or ``[D]``: which codes may change.
            (default: all)
        num_sweeps: How often every position has its turn. (default: ``1``)

    Returns:
        ``int64`` codes ``[B, D]``.

    Raises:
        ValueError: Shapes that do not fit together, or fewer than one sweep.

    Example:
        >>> basis = torch.tensor([[0.0], [4.0], [0.0], [1.0]])  # two binary positions
        >>> target = torch.tensor([[0.9], [4.2]])
        >>> refine_codes(torch.zeros(2, 2).long(), basis, target, (2, 2))
        tensor([[0, 1],
                [1, 0]])
    """
    _check(codes, basis, target, codebook_sizes, num_sweeps)
    basis = at_least_float32(basis)
    blocks = [_block(part) for part in torch.split(basis, list(codebook_sizes))]
    offsets = torch.tensor(position_offsets(codebook_sizes), device=codes.device)
    refined = codes.long()
    if refined is codes:
        refined = codes.clone()
    if movable is not None:
        movable = movable.expand(codes.shape)
    for rows in row_chunks(codes.size(0), max(*codebook_sizes, basis.size(1))):
        chosen = refined[rows]
        vectors = functional.embedding_bag(chosen + offsets, basis, mode="sum")
        rest = target[rows].to(basis.dtype) - vectors
        free = None if movable is None else movable[rows]
        for _ in range(num_sweeps):
            for position, block in enumerate(blocks):
                _descend(chosen, rest, position, block, free)
    return refined


def trust_region_target(
    vectors: Tensor, gradients: Tensor, step: float, *, floor: float | Tensor = 0.0
) -> Tensor:
    r"""Where a gradient step of bounded length leads.

    .. math:: t_v = e_v - \eta \, \max(\mathrm{rms}(e_v), f)
        \frac{g_v}{\mathrm{rms}(g_v)}

    with the root mean square over the channels of a row. Only the direction of the
    gradient counts, so neither the scale of the loss nor the degree of a node matters.

    Args:
        vectors: :math:`e`, ``[B, C]``.
        gradients: :math:`g` of the loss, ``[B, C]``. A row that is zero or not finite
            leaves its vector where it is.
        step: :math:`\eta`, the length of the step against that of the vector. A code
            can only change where a step is long beside the distance between codewords,
            so values near 1 are needed.
        floor: :math:`f`, what counts as the scale of a vector that is shorter, as one
            of null codes is. (default: ``0.0``)

    Returns:
        ``[B, C]``.

    Example:
        >>> vectors = torch.tensor([[2.0, 2.0], [1.0, 0.0]])
        >>> gradients = torch.tensor([[0.0, 0.01], [0.0, 0.0]])
        >>> trust_region_target(vectors, gradients, 1.0)
        tensor([[ 2.0000, -0.8284],
                [ 1.0000,  0.0000]])
    """
    # By the largest entry first: squares of tiny or huge gradients leave the range.
    largest = gradients.abs().amax(dim=1, keepdim=True)
    usable = largest.isfinite() & (largest > 0)
    direction = torch.where(usable, gradients / largest, 0.0)
    direction = functional.normalize(direction, dim=1) * direction.size(1) ** 0.5
    scale = vectors.square().mean(dim=1, keepdim=True).sqrt().clamp(min=floor)
    target: Tensor = vectors - step * scale * direction
    return target


class _Block(NamedTuple):
    """The codewords of a position in the columns where they are not all zero."""

    columns: slice
    codewords: Tensor
    half_squares: Tensor


def _block(codewords: Tensor) -> _Block:
    live = codewords.any(dim=0).nonzero().flatten()
    columns = slice(int(live[0]), int(live[-1]) + 1) if live.numel() else slice(0)
    codewords = codewords[:, columns].contiguous()
    return _Block(columns, codewords, codewords.square().sum(dim=1) / 2)


def _descend(
    codes: Tensor, rest: Tensor, position: int, block: _Block, free: Tensor | None
) -> None:
    """Let one position choose again; update ``codes`` and ``rest`` in place."""
    rows = slice(None) if free is None else free[:, position].nonzero().flatten()
    left = rest[:, block.columns]
    old = codes[rows, position]
    wanted = left[rows] + block.codewords[old]
    # Among codewords, nearest is largest <w, c> - |c|^2 / 2.
    scores = torch.addmm(-block.half_squares, wanted, block.codewords.t())
    best, new = scores.max(dim=1)
    kept = scores.gather(1, old.unsqueeze(1)).squeeze(1)
    new = torch.where(best > kept, new, old)
    codes[rows, position] = new
    left[rows] = wanted - block.codewords[new]


def _check(
    codes: Tensor,
    basis: Tensor,
    target: Tensor,
    codebook_sizes: Sequence[int],
    num_sweeps: int,
) -> None:
    if codes.dim() != 2 or codes.size(1) != len(codebook_sizes):
        raise ValueError(
            f"refine_codes expects codes [B, {len(codebook_sizes)}] for K = "
            f"{tuple(codebook_sizes)}, got shape {tuple(codes.shape)}"
        )
    if basis.dim() != 2 or basis.size(0) != sum(codebook_sizes):
        raise ValueError(
            f"refine_codes expects a basis [{sum(codebook_sizes)}, C] for K = "
            f"{tuple(codebook_sizes)}, got shape {tuple(basis.shape)}"
        )
    if target.shape != (codes.size(0), basis.size(1)):
        raise ValueError(
            f"refine_codes expects a target [{codes.size(0)}, {basis.size(1)}], got "
            f"shape {tuple(target.shape)}"
        )
    if num_sweeps < 1:
        raise ValueError(
            f"refine_codes expects num_sweeps of at least 1, got {num_sweeps}"
        )
