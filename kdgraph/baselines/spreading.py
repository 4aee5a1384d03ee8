"""Spreading: scores of nodes, mixed again and again with their neighbours'."""

from typing import Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

Normalization = Literal["symmetric", "source"]
NORMALIZATIONS: tuple[Normalization, ...] = ("symmetric", "source")


class Spreading:
    r"""Spread scores over the normalised graph.

    "Learning with Local and Global Consistency" (Zhou et al., NeurIPS 2004): with
    :math:`S = D^{-1/2} A D^{-1/2}`, to which no self-loops are added, and seeds Y,
    iterate from :math:`F^{(0)} = Y`

    .. math:: F^{(t+1)} = \alpha S F^{(t)} + (1 - \alpha) Y,

    whose limit is :math:`(1 - \alpha) (I - \alpha S)^{-1} Y`. A node without edges ends
    with :math:`(1 - \alpha) Y`. On a directed graph D holds the sums of rows.

    With ``normalization="source"`` it is :math:`S = A D^{-1}` instead: what a node says
    is divided by its degree and not by its hearer's, as a walk from the seeds would.

    A step costs E T multiplications. Memory beside the seeds and the result is two
    floats per edge and ``memory`` bytes: columns are independent of each other, and are
    taken as many at a time as fit. It runs where the seeds are.

    Args:
        adj: Adjacency ``[N, N]``, row v holding the neighbours v hears from.
        normalization: ``"symmetric"`` or ``"source"``. (default: ``"symmetric"``)
        memory: Bytes of the working set; one column, 12 N bytes, is the least.
            (default: 512 MiB)

    Raises:
        TypeError: An adjacency that is not a scipy sparse matrix or array.
        ValueError: An adjacency that is not square, or has a weight that is negative or
            not finite, or another normalisation.

    Example:
        >>> pair = sparse.csr_array(np.array([[0, 1], [1, 0]]))
        >>> Spreading(pair)(torch.eye(2), alpha=0.5, num_steps=1)
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """

    def __init__(
        self,
        adj: sparse.csr_array,
        *,
        normalization: Normalization = "symmetric",
        memory: int = 1 << 29,
    ) -> None:
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                "Spreading expects normalization 'symmetric' or 'source', got "
                f"{normalization!r}"
            )
        if not sparse.issparse(adj):
            raise TypeError(
                "Spreading expects a scipy.sparse adjacency, got "
                f"{type(adj).__name__}; call build_adjacency on an edge list"
            )
        if adj.ndim != 2 or adj.shape[0] != adj.shape[1]:
            raise ValueError(
                f"Spreading expects a square adjacency, got shape {tuple(adj.shape)}"
            )
        csr = sparse.csr_array(adj)
        if csr.nnz and not (np.isfinite(csr.data).all() and csr.data.min() >= 0):
            raise ValueError(
                "Spreading expects weights that are finite and at least 0, got "
                f"{csr.data.min()} to {csr.data.max()}"
            )
        degree = np.asarray(csr.sum(axis=1, dtype=np.float64)).ravel()
        scale = np.zeros(degree.size, dtype=np.float32)
        divisor = np.sqrt(degree) if normalization == "symmetric" else degree
        np.divide(1.0, divisor, out=scale, where=degree > 0, casting="same_kind")
        weights = scale[csr.indices]
        weights *= csr.data
        if normalization == "symmetric":
            weights *= np.repeat(scale, np.diff(csr.indptr))
        self.num_nodes = int(csr.shape[0])
        self.memory = memory
        # Buffers mapped from a file may be read-only, which torch does not take.
        self._indptr = torch.from_numpy(np.require(csr.indptr, requirements="W"))
        self._indices = torch.from_numpy(np.require(csr.indices, requirements="W"))
        self._weights = torch.from_numpy(weights)

    @torch.no_grad()
    def __call__(
        self, seeds: Tensor, alpha: float, num_steps: int = 20, *, clamp: bool = False
    ) -> Tensor:
        """The spread scores, float32.

        Args:
            seeds: Y; it is not changed.
            alpha: How much comes from neighbours, in [0, 1).
            num_steps: Iterations. (default: ``20``)
            clamp: Whether scores are kept in [0, 1] after each of them, which nodes
                that hear from many others would leave. (default: ``False``)

        Shapes:
            - **seeds, output:** ``[N, T]``

        Raises:
            ValueError: Seeds of another shape, or a number out of range.
        """
        check_spread("Spreading", alpha, num_steps)
        if seeds.dim() != 2 or seeds.size(0) != self.num_nodes:
            raise ValueError(
                f"Spreading expects seeds of shape [{self.num_nodes}, T], got "
                f"{list(seeds.shape)}"
            )
        indices = self._indices.to(seeds.device)
        offsets = self._indptr.to(seeds.device)
        weights = self._weights.to(seeds.device) * alpha
        scores = torch.empty_like(seeds, dtype=torch.float32)
        width = max(1, self.memory // (12 * max(1, self.num_nodes)))
        for start in range(0, seeds.size(1), width):
            columns = slice(start, start + width)
            own = seeds[:, columns].float().contiguous()
            block = own
            for _ in range(num_steps):
                # Up to three times as fast as a product with a torch.sparse tensor.
                block = functional.embedding_bag(
                    indices,
                    block,
                    offsets,
                    mode="sum",
                    per_sample_weights=weights,
                    include_last_offset=True,
                ).add_(own, alpha=1.0 - alpha)
                if clamp:
                    block.clamp_(0.0, 1.0)
            scores[:, columns] = block
        return scores


def check_spread(owner: str, alpha: float, num_steps: int) -> None:
    """Refuse a mixture that is none, or a negative number of steps.

    Raises:
        ValueError: ``alpha`` or ``num_steps`` out of range.
    """
    if not 0.0 <= alpha < 1.0 or num_steps < 0:
        raise ValueError(
            f"{owner} expects alpha in [0, 1) and num_steps of at least 0, got "
            f"alpha={alpha} and num_steps={num_steps}"
        )


def clamp_labels(scores: Tensor, y: Tensor, n_id: Tensor) -> Tensor:
    """Replace the scores of nodes by their labels, in place.

    Args:
        scores: ``[N, T]``.
        y: Classes ``[N]``, or ``[N, T]`` zeros and ones. Nodes of class -1 are left.
        n_id: The nodes whose labels are known.

    Example:
        >>> y, known = torch.tensor([1, 0]), torch.tensor([0])
        >>> clamp_labels(torch.full((2, 2), 0.5), y, known)
        tensor([[0.0000, 1.0000],
                [0.5000, 0.5000]])
    """
    labels = y[n_id].to(scores.device)
    rows = n_id.to(scores.device)
    if labels.dim() == 1:
        rows, labels = rows[labels >= 0], labels[labels >= 0]
        labels = functional.one_hot(labels, scores.size(1))
    scores[rows] = labels.to(scores.dtype)
    return scores
