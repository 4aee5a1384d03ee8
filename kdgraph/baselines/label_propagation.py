"""LabelPropagation: what the training labels alone say, in zero bytes."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor


class LabelPropagation:
    r"""Spread training labels over the normalised graph.

    "Learning with Local and Global Consistency" (Zhou et al., NeurIPS 2004): with
    :math:`S = D^{-1/2} A D^{-1/2}` and one-hot training labels Y, iterate

    .. math:: F^{(t+1)} = \alpha S F^{(t)} + (1 - \alpha) Y

    It stores nothing per node, but reads the training labels when it predicts.

    Args:
        alpha: How much comes from neighbours, in [0, 1). (default: ``0.9``)
        num_steps: Iterations. (default: ``50``)

    Raises:
        ValueError: ``alpha`` or ``num_steps`` out of range.

    Example:
        >>> path = sparse.csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
        >>> scores = LabelPropagation(alpha=0.5)(
        ...     path, torch.tensor([1, 0, 0]), torch.tensor([0]), num_classes=2
        ... )
        >>> scores.argmax(dim=1)
        tensor([1, 1, 1])
    """

    def __init__(self, alpha: float = 0.9, num_steps: int = 50) -> None:
        if not 0.0 <= alpha < 1.0 or num_steps < 0:
            raise ValueError(
                "LabelPropagation expects alpha in [0, 1) and num_steps of at least 0, "
                f"got alpha={alpha} and num_steps={num_steps}"
            )
        self.alpha = alpha
        self.num_steps = num_steps

    def __call__(
        self, adj: sparse.csr_array, y: Tensor, train_idx: Tensor, num_classes: int
    ) -> Tensor:
        """Class scores ``[N, num_classes]``.

        Args:
            adj: Adjacency ``[N, N]``, row v holding the neighbours v hears from.
            y: Classes ``[N]``, or ``[N, T]`` zeros and ones.
            train_idx: Nodes whose labels are known.
            num_classes: Number of classes, or of labels T.
        """
        degree = np.asarray(adj.sum(axis=1), dtype=np.float64).ravel()
        scale = np.divide(
            1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0
        )
        spread = (sparse.diags_array(scale) @ adj @ sparse.diags_array(scale)).tocsr()
        seeds = np.zeros((adj.shape[0], num_classes), dtype=np.float64)
        known = train_idx.cpu().numpy()
        labels = y[train_idx].cpu().numpy()
        if labels.ndim == 1:
            seeds[known[labels >= 0], labels[labels >= 0]] = 1.0
        else:
            seeds[known] = labels
        scores = seeds
        for _ in range(self.num_steps):
            scores = self.alpha * (spread @ scores) + (1.0 - self.alpha) * seeds
        return torch.from_numpy(np.asarray(scores)).float()
