"""LogitNorm: batch normalisation of logits, in closed form for queries and keys."""

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.coders.rows import Rows, rename
from kdgraph.ops import pad_positions


class LogitNorm(nn.Module):
    r"""Batch-normalise every logit over the nodes of a batch.

    Gives the gain and shift with which :math:`a \phi + b` has mean 0 and variance 1
    (and then the learned scale and centre, if affine). For logits made of queries and
    keys the moments follow from those of the queries,
    :math:`\mu = \langle \bar q_j, \kappa \rangle` and
    :math:`\sigma^2 = \kappa^\top \mathrm{Cov}(q_j) \kappa`, so that no logit is formed.

    A batch of one row, and evaluation, use running statistics (momentum 0.1).

    Args:
        num_logits: ``sum(K_j)``.
        affine: Learn a centre and a scale, as the KD-encoding paper's code does where
            no temperature schedule is used.
        sparse: Whether what is learned gets sparse gradients. (default: ``False``)
    """

    mean: Tensor
    var: Tensor

    def __init__(self, num_logits: int, *, affine: bool, sparse: bool = False) -> None:
        super().__init__()
        self.affine = affine
        self.register_buffer("mean", torch.zeros(num_logits))
        self.register_buffer("var", torch.ones(num_logits))
        if affine:
            self.scale = Rows(num_logits, sparse=sparse)
            self.centre = Rows(num_logits, sparse=sparse)
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """The learned scale, ``[sum(K_j)]``."""
        return self.scale.weight

    @property
    def bias(self) -> Tensor:
        """The learned centre, ``[sum(K_j)]``."""
        return self.centre.weight

    def reset_parameters(self) -> None:
        """Forget the statistics; scale 1, centre 0."""
        with torch.no_grad():
            self.mean.zero_()
            self.var.fill_(1.0)
            if self.affine:
                self.weight.fill_(1.0)
                self.bias.zero_()

    def of_logits(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and shift ``[sum(K_j)]`` for logits ``[B, sum(K_j)]``."""
        if not self.training or logits.size(0) < 2:
            return self._gain_and_shift(self.mean, self.var)
        var, mean = torch.var_mean(logits, dim=0, correction=0)
        return self._update(mean, var)

    def of_queries(
        self, query: Tensor, keys: Tensor, sizes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Gain and shift for queries ``[B, D, r]``, keys ``[sum(K_j), r]``."""
        if not self.training or query.size(0) < 2:
            return self._gain_and_shift(self.mean, self.var)
        centre = query.mean(dim=0)
        spread = query - centre
        cov = torch.einsum("bdr,bds->drs", spread, spread) / query.size(0)
        by_choice = pad_positions(keys.t(), sizes, 0.0).permute(1, 2, 0)
        mean = torch.einsum("dkr,dr->dk", by_choice, centre)
        var = torch.einsum("dkr,drs,dks->dk", by_choice, cov, by_choice)
        return self._update(_unpad(mean, sizes), _unpad(var, sizes))

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        rename(state_dict, prefix, {"weight": "scale.weight", "bias": "centre.weight"})
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _update(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            self.mean.copy_(self.mean.lerp(mean.to(self.mean.dtype), 0.1))
            self.var.copy_(self.var.lerp(var.to(self.var.dtype), 0.1))
        return self._gain_and_shift(mean, var)

    def _gain_and_shift(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        gain = torch.rsqrt(var + 1e-5)
        shift = -mean * gain
        if self.affine:
            scale = self.scale()
            return gain * scale, shift * scale + self.centre()
        return gain, shift


def _unpad(padded: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """``[D, K]`` to ``[sum(K_j)]``."""
    return torch.cat([row[:size] for row, size in zip(padded, sizes, strict=True)])
