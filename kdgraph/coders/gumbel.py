"""GumbelCoder: codes drawn by Gumbel noise while training."""

from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.coders.logit import LogitCoder, Normalize
from kdgraph.ops import (
    Codebooks,
    LogitSelection,
    RelaxedSelection,
    Selection,
    query_logits,
)


class GumbelCoder(LogitCoder):
    r"""Learn codes by the Gumbel-softmax.

    The Gumbel variant of the KD-encoding code (Chen, Min, Sun, ICML 2018; Jang, Gu,
    Poole, ICLR 2017): :math:`z = \log \mathrm{softmax}(\phi) + g` with Gumbel noise g,
    :math:`b = \arg\max z`, relaxed as :math:`\mathrm{softmax}(z / \tau)`. Noise only
    while training; evaluation takes :math:`\arg\max \phi`.

    Args:
        query_dim: Numbers r per node and position; ``"auto"`` takes one per bit,
            ``"free"`` keeps a logit per choice instead. (default: ``"auto"``)
        temperature: :math:`\tau`; a schedule may move it. (default: ``1.0``)
        scale: Factor s on the logits. (default: ``10.0``)
        normalize: Batch-normalise the logits: ``"batch"``, ``"affine"`` or ``None``.
        hard: Straight-through; otherwise training sees the soft mixture of codewords.
            (default: ``True``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: An option out of range.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> coder = GumbelCoder(temperature=0.5)
        >>> encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=3, coder=coder)
        >>> torch.equal(encoder.codes(), encoder.codes())  # reading draws no noise
        True
    """

    def __init__(
        self,
        query_dim: int | Literal["auto", "free"] = "auto",
        *,
        temperature: float = 1.0,
        scale: float = 10.0,
        normalize: Normalize = None,
        hard: bool = True,
        sparse: bool = False,
    ) -> None:
        super().__init__(
            query_dim,
            temperature=temperature,
            scale=scale,
            normalize=normalize,
            sparse=sparse,
        )
        self.hard = hard

    @override
    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        if self.query_dim == "free":
            logits = self._free_logits(n_id)
        else:
            logits = query_logits(*self._query_and_keys(n_id))
        if not self.training:
            return LogitSelection(
                logits.argmax(dim=-1),
                logits=logits,
                temperature=self.temperature.clone(),
            )
        noisy = torch.log_softmax(logits, dim=-1) + _gumbel_like(logits)
        codes = noisy.argmax(dim=-1)
        if self.hard:
            return LogitSelection(
                codes, logits=noisy, temperature=self.temperature.clone()
            )
        weights = torch.softmax(noisy / self.temperature, dim=-1)
        return RelaxedSelection(codes, weights=weights)


def _gumbel_like(logits: Tensor) -> Tensor:
    """Noise ``-log(-log u)``, u uniform on (0, 1)."""
    smallest = torch.finfo(logits.dtype).tiny
    exponential = torch.empty_like(logits).exponential_().clamp_(min=smallest)
    return -exponential.log()
