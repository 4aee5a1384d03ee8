"""coded_gather, coded_spmm, coded_linear: vectors, sums, mapped sums, off the codes."""

from typing import Literal

import torch
from torch import Tensor

from kdgraph.ops import library
from kdgraph.ops.arguments import HasPackedCodes, check_index, given_edges, given_rows
from kdgraph.ops.codebooks import Codebooks

Compose = Literal["concat", "sum"]
Reduce = Literal["sum", "mean"]


def coded_gather(
    codes: Tensor | HasPackedCodes,
    codebooks: Tensor | Codebooks,
    n_id: Tensor | None = None,
    *,
    compose: Compose = "concat",
    check: bool = True,
) -> Tensor:
    r"""Compose the vectors of some nodes from their codes.

    .. math:: x_i = [C_1[k_{v,1}], ..., C_D[k_{v,D}]] \quad \text{or} \quad
        x_i = \sum_j C_j[k_{v,j}], \qquad v = \mathrm{n\_id}_i

    Differentiable by the codebooks, once. It takes the bytes of the codes and the
    output: nothing else of size N or B exists.

    Args:
        codes: Integers ``[N, D]`` (``uint8``, ``int16``, ``int32`` or ``int64``), or
            packed codes: a :class:`kdgraph.codes.CodeTable` or :class:`PackedCodes`.
        codebooks: ``[D, K, S]``, or :class:`kdgraph.ops.Codebooks` where alphabets
            differ or positions share one; ``float32``, ``float64``, ``bfloat16``,
            ``float16``, or ``int8`` :class:`Codebooks` with a scale.
        n_id: Nodes ``[B]``, or ``None`` for all. (default: ``None``)
        compose: ``"concat"`` puts codewords side by side, C = D S; ``"sum"`` adds them,
            C = S. (default: ``"concat"``)
        check: Whether nodes and codes are checked on the CPU before any is read; on
            accelerators, where a check would wait for the device, they are under
            ``KDGRAPH_DEBUG=1``. (default: ``True``)

    Returns:
        ``[B, C]`` of the codebooks' type, ``float32`` for ``int8``.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together.
        IndexError: A node or a code out of range.

    Example:
        >>> codes = torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)
        >>> books = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]])
        >>> coded_gather(codes, books, torch.tensor([1, 0]))
        tensor([[ 2., 20.],
                [ 1., 20.]])
        >>> coded_gather(codes, books, compose="sum").flatten()
        tensor([21., 22.])
    """
    rows = given_rows(codes, codebooks, compose, "coded_gather")
    if n_id is not None:
        check_index(n_id, "n_id", "coded_gather")
        n_id = n_id.contiguous()
    concat = compose == "concat"
    vectors: Tensor = library.gather(
        rows.codes, rows.codebooks, n_id, rows.sizes, rows.packed, concat, check
    )
    return vectors


def coded_spmm(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    codes: Tensor | HasPackedCodes,
    codebooks: Tensor | Codebooks,
    reduce: Reduce = "sum",
    *,
    compose: Compose = "concat",
    check: bool = True,
) -> Tensor:
    r"""Sum the vectors of each node's neighbours, reading the codes themselves.

    .. math:: y_v = \sum_{u \in N(v)} w_{vu} x_u, \qquad
        x_u = [C_1[k_{u,1}], ..., C_D[k_{u,D}]] \text{ or } \sum_j C_j[k_{u,j}]

    The product of a sparse matrix and coded features. Differentiable once, by the
    codebooks and the weights. Vectors of all nodes are never formed, forward or
    backward. Sums are in ``float32`` at least, and do not depend on the number of
    threads.

    Args:
        rowptr: Where the edges of each target begin, ``[M + 1]``, ``int32`` or
            ``int64``: CSR of the graph with targets in rows, PyG's ``adj_t``.
        col: The source of each edge, ``[E]``, ``int32`` or ``int64``.
        weight: Of each edge, ``[E]``; ``None`` for ones.
        codes: Of the N sources; see :func:`coded_gather`.
        codebooks: See :func:`coded_gather`.
        reduce: ``"sum"``, or ``"mean"``, which divides by the number of edges of the
            target. Targets without edges get zeros. (default: ``"sum"``)
        compose: ``"concat"`` or ``"sum"``; see :func:`coded_gather`.
            (default: ``"concat"``)
        check: Whether everything that is read by index is checked on the CPU before;
            see :func:`coded_gather`. (default: ``True``)

    Returns:
        ``[M, C]`` of the codebooks' type, ``float32`` for ``int8``.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together, or row pointers that are none.
        IndexError: A source or a code out of range.

    Example:
        >>> rowptr, col = torch.tensor([0, 2, 2]), torch.tensor([0, 1])
        >>> codes = torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)
        >>> books = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]])
        >>> coded_spmm(rowptr, col, torch.tensor([0.5, 1.0]), codes, books)
        tensor([[ 2.5000, 30.0000],
                [ 0.0000,  0.0000]])
    """
    rows = given_rows(codes, codebooks, compose, "coded_spmm")
    if reduce not in ("sum", "mean"):
        raise ValueError(f"coded_spmm expects reduce 'sum' or 'mean', got {reduce!r}")
    sums: Tensor = library.spmm(
        *given_edges(rowptr, col, weight, "coded_spmm"),
        rows.codes,
        rows.codebooks,
        rows.sizes,
        rows.packed,
        compose == "concat",
        reduce == "mean",
        check,
    )
    return sums


def coded_linear(
    rowptr: Tensor | None,
    col: Tensor | None,
    weight: Tensor | None,
    codes: Tensor | HasPackedCodes,
    codebooks: Tensor | Codebooks,
    matrix: Tensor,
    *,
    compose: Compose = "concat",
    check: bool = True,
) -> Tensor:
    r"""Map the sums of each node's neighbours, while they are made.

    .. math:: y_v = W \sum_{u \in N(v)} w_{vu} x_u

    :func:`coded_spmm` and the product with a matrix behind it, in one pass: a block of
    sums is mapped where it is made, in the cache, and the backward pass makes it again.
    Neither the sums nor their gradient are ever there for all targets. Where the matrix
    has no room beside a block, in other types than ``float32``, and outside the
    compiled core it is one after the other. Differentiable once, by all but the codes;
    for weights the sums are kept.

    Args:
        rowptr: See :func:`coded_spmm`; ``None``, as ``col``, for the vectors of the
            nodes themselves.
        col: See :func:`coded_spmm`.
        weight: See :func:`coded_spmm`.
        codes: See :func:`coded_gather`.
        codebooks: See :func:`coded_gather`.
        matrix: W, ``[H, C]``; it is taken to the codebooks' type.
        compose: See :func:`coded_gather`. (default: ``"concat"``)
        check: See :func:`coded_spmm`. (default: ``True``)

    Returns:
        ``[M, H]`` of the codebooks' type.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together, or row pointers that are none.
        IndexError: A source or a code out of range.

    Example:
        >>> rowptr, col = torch.tensor([0, 2, 2]), torch.tensor([0, 1])
        >>> codes = torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)
        >>> books = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]])
        >>> coded_linear(rowptr, col, None, codes, books, torch.tensor([[1.0, 2.0]]))
        tensor([[83.],
                [ 0.]])
    """
    rows = given_rows(codes, codebooks, compose, "coded_linear")
    width = rows.codebooks.size(1) * (len(rows.sizes) if compose == "concat" else 1)
    if not isinstance(matrix, Tensor) or not matrix.is_floating_point():
        kind = matrix.dtype if isinstance(matrix, Tensor) else type(matrix).__name__
        raise TypeError(
            f"coded_linear expects a matrix of a floating-point type, got {kind}"
        )
    if matrix.dim() != 2 or matrix.size(1) != width:
        raise ValueError(
            f"coded_linear expects a matrix [H, {width}] for vectors of {width}, got "
            f"shape {list(matrix.shape)}"
        )
    if (rowptr is None) != (col is None) or (col is None and weight is not None):
        raise ValueError(
            "coded_linear expects rowptr and col, or neither of them and no weight"
        )
    matrix = matrix.to(rows.codebooks.dtype)
    edges: tuple[Tensor | None, Tensor | None, Tensor | None]
    if rowptr is None or col is None:
        edges = None, None, None
    elif weight is not None and weight.requires_grad and torch.is_grad_enabled():
        sums = coded_spmm(
            rowptr, col, weight, codes, codebooks, compose=compose, check=check
        )
        return mapped_sums(sums, matrix)
    else:
        edges = given_edges(rowptr, col, weight, "coded_linear")
    mapped: Tensor = library.linear(
        *edges,
        rows.codes,
        rows.codebooks,
        matrix.contiguous(),
        rows.sizes,
        rows.packed,
        compose == "concat",
        check,
    )
    return mapped


def mapped_sums(sums: Tensor, matrix: Tensor) -> Tensor:
    """Sums that are there, times the transposed matrix, in their type as ever."""
    with torch.autocast(sums.device.type, enabled=False):
        return sums @ matrix.to(sums.dtype).t()
