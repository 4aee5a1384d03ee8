"""VQCoder: codes as nearest centroids of learned vectors."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from kdgraph.coders.base import Coder
from kdgraph.coders.epochs import EpochCount
from kdgraph.coders.rows import Rows, rename
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
    (Chen, Li, Sun, ICML 2020, section 2.3): a node keeps a query, its code is the
    nearest codeword, :math:`k_{v,j} = \arg\min_k \|q_{v,j} - C_j[k]\|^2`, and the
    gradient of the codeword is copied to the query. Keys are the composer's codewords
    themselves, which move by the centroid term only. Under
    :class:`kdgraph.composers.SumComposer` the D codes quantise one query residually,
    code by code.

    The loss gets

    .. math:: \alpha \overline{\|\mathrm{sg}(q) - c\|^2} +
        \beta \overline{\|q - \mathrm{sg}(c)\|^2}

    squared over the query and averaged over the batch.

    The vectors carry that term, so that the backward pass of any loss moves the
    codewords; ``encoder.encode(n_id)`` gives it apart, as its ``penalty``. Epochs, for
    the restarts, are counted by ``after_epoch``; where nobody calls it, N rows of
    training steps are one, except in compiled code.

    Args:
        centroid_weight: :math:`\alpha`. (default: ``1.0``)
        commitment_weight: :math:`\beta`. (default: ``0.25``)
        restart_every: Every so many epochs, put codewords that no node uses where a
            random node's query is; 0 for never. (default: ``10``)
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

    sparse_parameters: ClassVar[tuple[str, ...]] = ("query_rows.weight",)

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
        self.epochs = EpochCount(type(self).__name__)

    @property
    def query(self) -> Tensor:
        """The queries of all nodes, ``[N, d]`` for each position."""
        return self.query_rows.weight

    def reset_parameters(self) -> None:
        """Draw the queries anew, small against the codewords: a cold start at zero."""
        self._require_bound()
        with torch.no_grad():
            self.query.normal_(std=0.01)

    def penalty(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        """Centroid and commitment terms of the rows that were selected."""
        if not isinstance(selection, QuantizedSelection):
            return super().penalty(selection, codebooks)
        chosen = Selection(selection.codes)
        nearest = chosen.sum(codebooks) if self.additive else chosen.gather(codebooks)
        query = selection.query
        # Of no rows it is 0, and has gradients of 0.
        rows = max(1, query.size(0))
        centroid = (query.detach() - nearest).square().sum() / rows
        commitment = (query - nearest.detach()).square().sum() / rows
        return self.centroid_weight * centroid + self.commitment_weight * commitment

    @override
    def begin_step(self, num_rows: int, composer: Composer) -> None:
        if self.restart_every:
            epoch = self.epochs.epoch
            if self.epochs.begin_step(num_rows, self.num_nodes):
                self._restart_if_due(epoch, composer)

    @override
    def expect_epochs(self) -> None:
        self.epochs.expected = True

    @override
    def after_epoch(self, epoch: int, composer: Composer) -> None:
        """Restart dead codewords when due."""
        self.expect_epochs()
        self._restart_if_due(epoch, composer)

    def _restart_if_due(self, epoch: int, composer: Composer) -> None:
        if self.restart_every and (epoch + 1) % self.restart_every == 0:
            self.restart_dead_codes(composer)

    @torch.no_grad()
    def restart_dead_codes(self, composer: Composer) -> int:
        """Move every codeword that no node uses to the query of a random node.

        Each goes to a node of its own, and as far as nodes go round every code that is
        in use keeps one.

        Returns:
            How many codewords moved.
        """
        codebooks = composer.codebooks
        codes = self._select(None, codebooks).codes
        used = torch.zeros_like(codebooks.weight[:, 0], dtype=torch.bool)
        used[(codes + codebooks.offsets).flatten()] = True
        if composer.null_code:
            used[codebooks.offsets] = True  # it stays zero
        moved = 0
        for position, size in enumerate(codebooks.sizes):
            first = codebooks.offsets[position]
            dead = first + (~used[first : first + size]).nonzero().flatten()
            nodes = _spare_nodes(codes[:, position])[: dead.numel()]
            dead = dead[: nodes.numel()]
            wanted = self._wanted(nodes, position, composer.codebooks)
            composer.set_codewords(dead, wanted)
            used[dead] = True
            moved += dead.numel()
        return moved

    def _wanted(self, nodes: Tensor, position: int, codebooks: Codebooks) -> Tensor:
        """What the codeword of a position should be to code some nodes exactly."""
        query = self._query(nodes)
        if not self.additive:
            return query[:, position]
        codes = self._select(nodes, codebooks).codes
        earlier = torch.arange(codes.size(1), device=codes.device) < position
        return query - Selection(codes, earlier.expand_as(codes)).sum(codebooks)

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        rename(state_dict, prefix, {"query": "query_rows.weight"})
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @override
    def _build(self, composer: Composer) -> None:
        width = positive_int(composer.width, "code_dim", type(self).__name__)
        self.additive = composer.additive
        self.positions = 1 if composer.additive else len(self.codebook_sizes)
        self.query_rows = Rows(
            self.num_nodes, self.positions * width, sparse=self.sparse
        )

    def _query(self, n_id: Tensor | None) -> Tensor:
        rows = at_least_float32(self.query_rows(n_id))
        if self.additive:
            return rows
        return torch.unflatten(rows, -1, (self.positions, -1))

    @override
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


def _spare_nodes(codes: Tensor) -> Tensor:
    """Nodes in random order, without one for each code in use."""
    order = torch.randperm(codes.numel(), device=codes.device)
    ranked, by_code = codes[order].sort(stable=True)
    spare = by_code[1:][ranked[1:] == ranked[:-1]]
    return order[spare.sort().values]
