"""neighbor_sum: the product of a sparse matrix and a float table."""

from torch import Tensor

from kdgraph.ops import library
from kdgraph.ops.arguments import check_index, check_weight


def neighbor_sum(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    x: Tensor,
    *,
    transposed: tuple[Tensor, Tensor, Tensor | None] | None = None,
    check: bool = True,
) -> Tensor:
    r"""Sum the rows of each node's neighbours, :math:`y_v = \sum_{u} w_{vu} x_u`.

    What :func:`kdgraph.ops.coded_spmm` is for codes, for the layers behind the first.
    Differentiable by x where the transposed graph is given, along which the gradient is
    summed; by the weights it is not.

    Args:
        rowptr: Where the edges of each target begin, ``[M + 1]``.
        col: The source of each edge, ``[E]``.
        weight: Of each edge, ``[E]``; ``None`` for ones.
        x: ``[N, C]``.
        transposed: The same three of the transposed graph. (default: ``None``)
        check: Whether sources are checked on the CPU. (default: ``True``)

    Returns:
        ``[M, C]`` of the type of x.

    Raises:
        TypeError: Tensors of another type.
        ValueError: Shapes that do not fit together.
        IndexError: A source out of range.

    Example:
        >>> import torch
        >>> rowptr, col = torch.tensor([0, 2, 2]), torch.tensor([0, 1])
        >>> neighbor_sum(rowptr, col, None, torch.tensor([[1.0], [2.0]]))
        tensor([[3.],
                [0.]])
    """
    for index, name in ((rowptr, "rowptr"), (col, "col")):
        check_index(index, name, "neighbor_sum")
    if weight is not None:
        weight = check_weight(weight, col, "neighbor_sum")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"neighbor_sum expects x of a floating-point type, got {kind}")
    if x.dim() != 2:
        raise ValueError(f"neighbor_sum expects x [N, C], got shape {list(x.shape)}")
    back: tuple[Tensor | None, ...] = (None, None, None)
    if transposed is not None:
        for index, name in zip(transposed[:2], ("rowptr", "col"), strict=True):
            check_index(index, f"the transposed {name}", "neighbor_sum")
        back = tuple(None if part is None else part.contiguous() for part in transposed)
    sums: Tensor = library.neighbor_sum(
        rowptr.contiguous(), col.contiguous(), weight, x, *back, check
    )
    return sums
