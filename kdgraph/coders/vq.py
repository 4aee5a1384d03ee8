"""VQCoder: codes as nearest centroids of learned vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.coders.base import Coder
from kdgraph.composers import Composer
from kdgraph.encoder import positive_int
from kdgraph.ops import (
    Codebooks,
    QuantizedSelection,
    Selection,
    at_least_float32,
    nearest_query_codes,
)


class VQCoder(Coder):
    r"""Learn codes by vector quantisation.

    DPQ-VQ of "Differentiable Product Quantization for End-to-End Embedding Compression"
    (Chen, Li, Sun, ICML 2020, section 2.3): a node keeps a query, its code is the nearest
    codeword, :math:`k_{v,j} = \arg\min_k \|q_{v,j} - C_j[k]\|^2`, and the gradient of the
    codeword is copied to the query. Keys are the composer's codewords themselves, which
    move by the centroid term only. Under :class:`kdgraph.composers.SumComposer` the D codes
    quantise one query residually, code by code.

    The loss gets :math:`\alpha \overline{\|\mathrm{sg}(q) - c\|^2} + \beta \overline{\|q -
    \mathrm{sg}(c)\|^2}`, squared over the query and averaged over the batch.

    Args:
        centroid_weight: :math:`\alpha`. (default: ``1.0``)
        commitment_weight: :math:`\beta`. (default: ``0.25``)
        restart_every: Every so many epochs, put codewords that no node uses where a random
            node's query is; 0 for never. (default: ``10``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: An option out of range.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=3, coder="vq")
        >>> encoding = encoder.encode()
        >>> bool(encoding.penalty > 0)
        True
    """

    def __init__(
        self,
        *,
        centroid_weight: float = 1.0,
        commitment_weight: float = 0.25,
        restart_every: int = 10,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        if centroid_weight < 0 or commitment_weight < 0 or restart_every < 0:
            raise ValueError(
                "VQCoder expects weights and restart_every of at least 0, got "
                f"centroid_weight={centroid_weight}, commitment_weight="
                f"{commitment_weight}, restart_every={restart_every}"
            )
        self.centroid_weight = centroid_weight
        self.commitment_weight = commitment_weight
        self.restart_every = restart_every
        self.sparse = sparse
        self.additive = False

    def reset_parameters(self) -> None:
        """Draw the queries anew, small against the codewords: a cold start at zero."""
        self._require_bound()
        with torch.no_grad():
            self.query.normal_(std=0.01)

    def penalty(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        """Centroid and commitment terms of the rows that were selected."""
        if (
            not isinstance(selection, QuantizedSelection)
            or selection.codes.size(0) == 0
        ):
            return super().penalty(selection, codebooks)
        chosen = Selection(selection.codes)
        nearest = chosen.sum(codebooks) if self.additive else chosen.gather(codebooks)
        query = selection.query
        centroid = (query.detach() - nearest).square().sum() / query.size(0)
        commitment = (query - nearest.detach()).square().sum() / query.size(0)
        return self.centroid_weight * centroid + self.commitment_weight * commitment

    @torch.no_grad()
    def after_epoch(self, epoch: int, codebooks: Codebooks) -> None:
        """Restart dead codewords when due."""
        if self.restart_every and (epoch + 1) % self.restart_every == 0:
            self.restart_dead_codes(codebooks)

    @torch.no_grad()
    def restart_dead_codes(self, codebooks: Codebooks) -> int:
        """Move every codeword that no node uses to the query of a random node.

        Returns:
            How many codewords moved.
        """
        codes = self._select(None, codebooks).codes
        if codebooks.shared:
            flat = codes.flatten()
        else:
            flat = (codes + codebooks.offsets).flatten()
        rows = codebooks.weight.size(0)
        dead = (torch.bincount(flat, minlength=rows) == 0).nonzero().flatten()
        nodes = torch.randint(self.num_nodes, (dead.numel(),), device=dead.device)
        query = self._query(nodes)
        position = torch.searchsorted(codebooks.offsets, dead, right=True) - 1
        if codebooks.shared:
            position = torch.zeros_like(dead)
        if self.additive:
            # What is left of the query when this position is reached.
            vectors = Selection(codes[nodes]).gather(codebooks)
            earlier = (
                torch.arange(codes.size(1), device=dead.device) < position[:, None]
            )
            target = query - (vectors * earlier.unsqueeze(-1)).sum(dim=1)
        else:
            target = query[torch.arange(dead.numel(), device=dead.device), position]
        codebooks.weight[dead] = target.to(codebooks.weight.dtype)
        return dead.numel()

    def _build(self, composer: Composer) -> None:
        width = positive_int(composer.width, "code_dim", type(self).__name__)
        self.additive = composer.additive
        self.positions = 1 if composer.additive else len(self.codebook_sizes)
        self.query = nn.Parameter(torch.empty(self.num_nodes, self.positions * width))

    def _query(self, n_id: Tensor | None) -> Tensor:
        rows = self.query
        if n_id is not None:
            rows = functional.embedding(n_id, rows, sparse=self.sparse)
        rows = at_least_float32(rows)
        return rows if self.additive else rows.unflatten(-1, (self.positions, -1))

    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        query = self._query(n_id)
        keys = at_least_float32(codebooks.padded().detach())
        # Among keys, nearest is largest <q, c> - |c|^2 / 2.
        bias = -keys.square().sum(dim=-1) / 2
        for position, size in enumerate(codebooks.sizes):
            bias[position, size:] = float("-inf")
        if not self.additive:
            codes = nearest_query_codes(query.detach(), keys, bias)
            return QuantizedSelection(codes, query=query)
        rest = query.detach()
        columns = []
        for position in range(len(codebooks.sizes)):
            block = slice(position, position + 1)
            code = nearest_query_codes(rest.unsqueeze(1), keys[block], bias[block])
            columns.append(code)
            rest = rest - functional.embedding(code.squeeze(1), keys[position])
        return QuantizedSelection(torch.cat(columns, dim=1), query=query)
