"""SoftmaxCoder: straight-through arg-max of a tempered softmax."""

from torch import Tensor
from typing_extensions import override

from kdgraph.coders.logit import LogitCoder
from kdgraph.ops import (
    Codebooks,
    LogitSelection,
    QuerySelection,
    Selection,
    nearest_query_codes,
)


class SoftmaxCoder(LogitCoder):
    r"""Learn codes by straight-through estimation of a tempered softmax.

    From "Learning K-way D-dimensional Discrete Codes for Compact Embedding
    Representations" (Chen, Min, Sun, ICML 2018, section 3): forward takes
    :math:`k_{v,j} = \arg\max_k \phi_{v,j,k}`, backward differentiates
    :math:`\pi_{v,j} = \mathrm{softmax}(\phi_{v,j} / \tau)`. With queries the
    logits are DPQ-SX responses (Chen, Li, Sun, ICML 2020, section 2.2).

    Args:
        query_dim: Numbers r per node and position; ``"auto"`` takes one per bit,
            ``"free"`` keeps a logit per choice instead. (default: ``"auto"``)
        temperature: :math:`\tau`; a schedule may move it. (default: ``1.0``)
        scale: Factor s on the logits. Adam moves a parameter by about its learning
            rate, so s sets how fast codes change: s = 10 at rate 0.01 is s = 1 at 0.1.
            (default: ``10.0``)
        normalize: Batch-normalise the logits: ``"batch"``, ``"affine"`` (with learned
            scale and centre) or ``None``. (default: ``None``)
        sparse: Sparse gradients for the rows of a mini-batch, as in
            :class:`torch.nn.Embedding`. (default: ``False``)

    Raises:
        ValueError: An option out of range.

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> coder = SoftmaxCoder(query_dim=2)
        >>> encoder = KDEmbedding(
        ...     100, 16, num_codebooks=8, codebook_size=4, coder=coder
        ... )
        >>> encoder(torch.tensor([3, 5])).sum().backward()
        >>> coder.query.grad.any(dim=1).nonzero().flatten()  # the batch, and no more
        tensor([3, 5])
    """

    @property
    @override
    def by_node(self) -> bool:
        """Without batch normalisation, or in evaluation."""
        return self.norm is None or not self.training

    @override
    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        if self.query_dim == "free":
            logits = self._free_logits(n_id)
            return LogitSelection(
                logits.argmax(dim=-1),
                logits=logits,
                temperature=self.temperature.clone(),
            )
        query, keys, bias = self._query_and_keys(n_id)
        codes = nearest_query_codes(query.detach(), keys.detach(), bias.detach())
        return QuerySelection(
            codes,
            query=query,
            keys=keys,
            bias=bias,
            temperature=self.temperature.clone(),
        )
