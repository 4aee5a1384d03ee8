"""LogitCoder: what coders that choose by logits share."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdgraph.coders.base import Coder
from kdgraph.coders.logit_norm import LogitNorm
from kdgraph.composers import Composer
from kdgraph.ops import at_least_float32, pad_positions, position_offsets

Normalize = Literal["batch", "affine"] | None


class LogitCoder(Coder):
    r"""Logits per node, position and choice, from a parameter or from queries and keys.

    Free logits are :math:`\phi_{v,j,k} = s \Phi_{v,j,k} + \beta_{j,k}` with a table
    :math:`\Phi \in \mathbb{R}^{N \times \sum_j K_j}` (Chen, Min, Sun, ICML 2018) and a bias
    shared by all nodes. With ``query_dim`` a node keeps :math:`q_v \in \mathbb{R}^{D \times r}`
    only, and :math:`\phi_{v,j,k} = s \langle q_{v,j}, \kappa_{j,k} \rangle + \beta_{j,k}` with
    keys shared by all nodes (DPQ-SX, Chen, Li, Sun, ICML 2020), so that training state is
    :math:`D r` numbers a node instead of :math:`\sum_j K_j`.

    Cold start: nodes begin a hundredth of a logit apart, and the shared bias soon outweighs
    that. Nodes that no gradient reaches then share the code that serves them best together
    instead of adding noise to their neighbours.

    See :class:`SoftmaxCoder` and :class:`GumbelCoder` for the arguments.
    """

    temperature: Tensor

    def __init__(
        self,
        query_dim: int | None = None,
        *,
        temperature: float = 1.0,
        scale: float = 10.0,
        normalize: Normalize = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if query_dim is not None and query_dim < 1:
            raise ValueError(f"{name} expects query_dim of at least 1, got {query_dim}")
        if not temperature > 0 or not scale > 0:
            raise ValueError(
                f"{name} expects temperature and scale above 0, got "
                f"temperature={temperature} and scale={scale}"
            )
        if normalize not in (None, "batch", "affine"):
            raise ValueError(
                f"{name} expects normalize as None, 'batch' or 'affine', got {normalize!r}"
            )
        self.query_dim = query_dim
        self.scale = scale
        self.normalize = normalize
        self.sparse = sparse
        self._start_temperature = temperature
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    @property
    def config(self) -> dict[str, object]:
        """The constructor arguments; the temperature it began with."""
        return super().config | {"temperature": self._start_temperature}

    def reset_parameters(self) -> None:
        """Draw logits, or queries and keys, anew, and restore the first temperature."""
        self._require_bound()
        # scale * 0.01 / scale: a hundredth of the temperature apart, in logits.
        spread = 1.0 if self.normalize else 0.01 / self.scale
        with torch.no_grad():
            self.temperature.fill_(self._start_temperature)
            if self.query_dim is None:
                self.logits.normal_(std=spread)
            else:
                self.query.normal_(std=spread)
                self.keys.normal_()
            self.bias.zero_()
            if not self.normalize:
                # As far ahead as nodes are apart: most begin at the first choice.
                self.bias[position_offsets(self.codebook_sizes)] = 0.01
        if self.norm is not None:
            self.norm.reset_parameters()

    def _build(self, composer: Composer) -> None:
        total = sum(self.codebook_sizes)
        if self.query_dim is None:
            self.logits = nn.Parameter(torch.empty(self.num_nodes, total))
        else:
            width = len(self.codebook_sizes) * self.query_dim
            self.query = nn.Parameter(torch.empty(self.num_nodes, width))
            self.keys = nn.Parameter(torch.empty(total, self.query_dim))
        self.bias = nn.Parameter(torch.empty(total))
        self.norm: LogitNorm | None = None
        if self.normalize:
            self.norm = LogitNorm(total, affine=self.normalize == "affine")

    def _rows(self, table: Tensor, n_id: Tensor | None) -> Tensor:
        rows = (
            table
            if n_id is None
            else functional.embedding(n_id, table, sparse=self.sparse)
        )
        return at_least_float32(rows)

    def _free_logits(self, n_id: Tensor | None) -> Tensor:
        """``[B, D, K]`` from the logit table."""
        logits = self._rows(self.logits, n_id)
        if self.norm is not None:
            gain, shift = self.norm.of_logits(logits)
            logits = logits * gain + shift
        logits = logits * self.scale + at_least_float32(self.bias)
        return pad_positions(logits, self.codebook_sizes, float("-inf"))

    def _query_and_keys(self, n_id: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``[B, D, r]``, keys ``[D, K, r]`` and bias ``[D, K]``, normalised."""
        positions = len(self.codebook_sizes)
        query = self._rows(self.query, n_id).unflatten(-1, (positions, -1))
        keys, bias = at_least_float32(self.keys), at_least_float32(self.bias)
        if self.norm is not None:
            gain, shift = self.norm.of_queries(query, keys, self.codebook_sizes)
            keys, bias = keys * gain.unsqueeze(-1), bias + self.scale * shift
        by_choice = pad_positions(keys.t() * self.scale, self.codebook_sizes, 0.0)
        bias = pad_positions(bias, self.codebook_sizes, float("-inf"))
        return query, by_choice.permute(1, 2, 0), bias
