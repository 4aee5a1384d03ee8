"""LabelPropagation: what the training labels alone say, in zero bytes."""

import torch
from scipy import sparse
from torch import Tensor

from kdgraph.baselines.spreading import (
    Normalization,
    Spreading,
    check_spread,
    clamp_labels,
)


class LabelPropagation:
    r"""Spread training labels over the normalised graph.

    "Learning with Local and Global Consistency" (Zhou et al., NeurIPS 2004): with
    :math:`S = D^{-1/2} A D^{-1/2}` and one-hot training labels Y, iterate

    .. math:: F^{(t+1)} = \alpha S F^{(t)} + (1 - \alpha) Y

    It stores nothing per node, but reads the training labels when it predicts. Cost and
    memory are those of :class:`Spreading <kdgraph.baselines.spreading.Spreading>`.

    Args:
        alpha: How much comes from neighbours, in [0, 1). (default: ``0.9``)
        num_steps: Iterations. (default: ``50``)
        normalization: ``"symmetric"``, or ``"source"`` for :math:`S = A D^{-1}`.
            (default: ``"symmetric"``)
        clamp: Whether scores are kept in [0, 1] after every step, as
            :class:`torch_geometric.nn.LabelPropagation` does. (default: ``False``)

    Raises:
        ValueError: ``alpha`` or ``num_steps`` out of range, or another normalisation.

    Example:
        >>> import numpy as np
        >>> path = sparse.csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
        >>> scores = LabelPropagation(alpha=0.5)(
        ...     path, torch.tensor([1, 0, 0]), torch.tensor([0]), num_classes=2
        ... )
        >>> scores.argmax(dim=1)
        tensor([1, 1, 1])
    """

    def __init__(
        self,
        alpha: float = 0.9,
        num_steps: int = 50,
        *,
        normalization: Normalization = "symmetric",
        clamp: bool = False,
    ) -> None:
        check_spread("LabelPropagation", alpha, num_steps)
        self.normalization = normalization
        self.clamp = clamp
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
        seeds = torch.zeros(adj.shape[0], num_classes)
        clamp_labels(seeds, y, train_idx)
        spread = Spreading(adj, normalization=self.normalization)
        return spread(seeds, self.alpha, self.num_steps, clamp=self.clamp)
