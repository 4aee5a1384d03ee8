r"""Straight-through estimation: hard vectors forward, the tempered softmax backward.

KD encoding (Chen, Min, Sun, ICML 2018, section 3) looks up the codeword of the largest
logit, :math:`b = \mathrm{onehot}(\arg\max_k \phi_k)`, and differentiates
:math:`\pi = \mathrm{softmax}(\phi / \tau)` in its place,
:math:`\pi + \mathrm{sg}(b - \pi)`. Forward is therefore exactly the hard lookup, and
only the backward pass is ours.
"""

from typing import Any

import torch
from torch import Tensor

# Rows whose softmax over all positions is formed at once in the backward pass, as a
# number of elements: 4M float32 are 16 MiB, small beside any graph worth coding.
CHUNK_ELEMENTS = 4 * 1024 * 1024


NARROW_QUERY = 16
"""Numbers per position up to which logits are summed term by term."""

SHORT_ALPHABET = 16
"""Choices up to which the softmax runs along the first axis."""


def at_least_float32(tensor: Tensor) -> Tensor:
    """Widen half precision: choosing a code on a rounded logit flips codes."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def row_chunks(num_rows: int, row_elements: int) -> list[slice]:
    """Cut rows into chunks of about ``CHUNK_ELEMENTS`` elements; at least one chunk.

    A compiled graph takes all rows at once: a loop whose length depends on the batch
    would tie the graph to one batch size.
    """
    if torch.compiler.is_compiling():
        return [slice(None)]
    rows = max(1, CHUNK_ELEMENTS // row_elements)
    return [slice(start, start + rows) for start in range(0, max(1, num_rows), rows)]


def softmax_gradient(
    logits: Tensor,
    temperature: Tensor,
    codebooks: Tensor,
    grad: Tensor,
    scale: Tensor | None,
) -> Tensor:
    r"""Gradient of a loss by the logits, through the tempered softmax.

    With :math:`s_k = \langle g, C_k \rangle` the derivative of the loss by the relaxed
    one-hot,

    .. math:: \partial L / \partial \phi_k = \pi_k (s_k - \sum_i \pi_i s_i) / \tau

    Args:
        logits: ``[B, D, K]``; ``-inf`` where a position has fewer than K choices.
        temperature: Scalar tensor :math:`\tau`.
        codebooks: ``[D, K, d]``.
        grad: By the code vectors ``[B, D, d]``, or by their sum ``[B, d]``.
        scale: Weights ``[B, D]`` of the positions in that sum, or ``None``.

    Returns:
        ``[B, D, K]``.
    """
    # A softmax over a short last axis runs element by element, over a first axis by
    # vectors of rows: 15 times faster for two choices.
    short = logits.size(-1) <= SHORT_ALPHABET
    axis, out = (0, "kbd") if short else (-1, "bdk")
    grad = grad.to(codebooks.dtype)
    if grad.dim() == 3:
        slope = torch.einsum(f"bdc,dkc->{out}", grad, codebooks)
    else:
        slope = torch.einsum(f"bc,dkc->{out}", grad, codebooks)
    if scale is not None:
        slope = slope * (scale if short else scale.unsqueeze(-1))
    if short:
        logits = logits.movedim(-1, 0).contiguous()
    weights = torch.softmax(logits / temperature, dim=axis)
    mean = (weights * slope).sum(dim=axis, keepdim=True)
    by_logits = weights * (slope - mean) / temperature
    return by_logits.movedim(0, -1) if short else by_logits


class LogitStraightThrough(torch.autograd.Function):
    """Identity on ``vectors`` that also sends their gradient to ``logits``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        vectors: Tensor,
        logits: Tensor,  # noqa: ARG004
        temperature: Tensor,  # noqa: ARG004
        codebooks: Tensor,  # noqa: ARG004
        scale: Tensor | None,  # noqa: ARG004
    ) -> Tensor:
        """Return ``vectors``; see :func:`softmax_gradient` for the shapes."""
        return vectors.view_as(vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep what the logits were made of."""
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Pass the gradient on, and add the soft one."""
        logits, temperature, codebooks, scale = ctx.saved_tensors
        grad_logits = softmax_gradient(logits, temperature, codebooks, grads[0], scale)
        return grads[0], grad_logits.to(logits.dtype), None, None, None


def query_logits(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    r"""Score every choice: :math:`\langle q_{v,j}, \kappa_{j,k} \rangle + \beta_{j,k}`.

    Args:
        query: ``[B, D, r]``.
        keys: ``[D, K, r]``.
        bias: ``[D, K]``; ``-inf`` makes a choice unselectable.

    Returns:
        Logits ``[B, D, K]``.
    """
    if query.size(-1) > NARROW_QUERY:
        return torch.einsum("bdr,dkr->bdk", query, keys) + bias
    # Term by term: a matrix product sums in an order that depends on how many rows it
    # is given, and a near tie would then fall one way in a batch and another in export.
    logits = bias
    for term in range(query.size(-1)):
        logits = logits + query[..., term, None] * keys[..., term]
    return logits.expand(query.size(0), -1, -1)
