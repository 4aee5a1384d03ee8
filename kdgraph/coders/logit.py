"""LogitCoder: what coders that choose by logits share."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from kdgraph.coders.base import Coder
from kdgraph.coders.logit_norm import LogitNorm
from kdgraph.coders.rows import Rows, rename
from kdgraph.composers import Composer
from kdgraph.ops import at_least_float32, code_bits, pad_positions, position_offsets

Normalize = Literal["batch", "affine"] | None

HEAD_START = 0.3
"""What the logit of choice 0 is ahead by in a cold start: more than one step of Adam
moves it at a rate of 0.01, so that jitter with no gradient behind it changes nothing.
"""
SPREAD = 0.1
"""How far apart nodes are in a logit: some start elsewhere, or the vectors would all be
zero and a ReLU behind them dead.
"""


_EARLIER_NAMES = {
    "query": "query_rows.weight",
    "keys": "key_rows.weight",
    "logits": "logit_rows.weight",
}


class LogitCoder(Coder):
    r"""Logits per node, position and choice, from a parameter or from queries and keys.

    Free logits are a table, :math:`\phi = s \Phi` with :math:`\Phi \in \mathbb{R}^{N
    \times \sum_j K_j}` (Chen, Min, Sun, ICML 2018). With queries a node keeps
    :math:`q_v \in \mathbb{R}^{D \times r}` only, and :math:`\phi_{v,j,k} = s \langle
    q_{v,j}, \kappa_{j,k} \rangle` with keys shared by all nodes (DPQ-SX, Chen, Li, Sun,
    ICML 2020), so that training state is :math:`D r` numbers a node instead of
    :math:`\sum_j K_j`.

    Cold start: without normalisation choice 0, the null code, is a little ahead in
    every logit. Two steps of Adam overturn it where there is a gradient; nodes that
    none reaches stay there, instead of adding the noise of random codes to their
    neighbours.

    See :class:`SoftmaxCoder` and :class:`GumbelCoder` for the arguments.
    """

    temperature: Tensor
    head_start: Tensor

    def __init__(
        self,
        query_dim: int | Literal["auto", "free"] = "auto",
        *,
        temperature: float = 1.0,
        scale: float = 10.0,
        normalize: Normalize = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if query_dim not in ("auto", "free") and not (
            isinstance(query_dim, int) and query_dim >= 1
        ):
            raise ValueError(
                f"{name} expects query_dim as 'auto', 'free' or a number of at least "
                f"1, got {query_dim!r}"
            )
        if not temperature > 0 or not scale > 0:
            raise ValueError(
                f"{name} expects temperature and scale above 0, got "
                f"temperature={temperature} and scale={scale}"
            )
        if normalize not in (None, "batch", "affine"):
            raise ValueError(
                f"{name} expects normalize as None, 'batch' or 'affine', got "
                f"{normalize!r}"
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

    @property
    def query(self) -> Tensor:
        """The queries of all nodes, ``[N, D r]``."""
        return self.query_rows.weight

    @property
    def keys(self) -> Tensor:
        """The keys of all choices, ``[sum(K_j), r]``."""
        return self.key_rows.weight

    @property
    def logits(self) -> Tensor:
        """The free logits of all nodes, ``[N, sum(K_j)]``."""
        return self.logit_rows.weight

    @property
    def sparse_parameters(self) -> tuple[str, ...]:
        """What has a row for each node."""
        return (
            "logit_rows.weight" if self.query_dim == "free" else "query_rows.weight",
        )

    def reset_parameters(self) -> None:
        """Draw logits, or queries and keys, anew, and restore the first temperature."""
        self._require_bound()
        self._derive()
        spread = 1.0 if self.normalize else SPREAD / self.scale
        with torch.no_grad():
            self.temperature.fill_(self._start_temperature)
            if self.query_dim == "free":
                self.logits.normal_(std=spread)
            else:
                self.query.normal_(std=spread)
                self.keys.copy_(self._spread_keys())
        if self.norm is not None:
            self.norm.reset_parameters()

    def _spread_keys(self) -> Tensor:
        """Key 0 of every position at zero, the others in directions of length 2.

        Choice 0 then wins where a query is small, and of two choices the difference of
        the logits moves with the query as that of two free logits does. One dimension
        has two directions, which the other keys take in turn.
        """
        keys = torch.randn_like(self.keys)
        first = position_offsets(self.codebook_sizes)
        if keys.size(1) == 1:
            choice = torch.cat([torch.arange(size) for size in self.codebook_sizes])
            keys = torch.where(choice % 2 == 1, 1.0, -1.0).unsqueeze(-1).to(keys)
        keys = 2 * functional.normalize(keys, dim=-1)
        keys[first] = 0.0
        return keys

    @override
    def _build(self, composer: Composer) -> None:
        total = sum(self.codebook_sizes)
        if self.query_dim == "free":
            self.logit_rows = Rows(self.num_nodes, total, sparse=self.sparse)
        else:
            width = self.query_dim
            if width == "auto":
                width = default_query_dim(self.codebook_sizes)
            wide = len(self.codebook_sizes) * width
            self.query_rows = Rows(self.num_nodes, wide, sparse=self.sparse)
            self.key_rows = Rows(total, width, sparse=self.sparse)
        self.register_buffer("head_start", torch.empty(total), persistent=False)
        self.norm: LogitNorm | None = None
        if self.normalize:
            affine = self.normalize == "affine"
            self.norm = LogitNorm(total, affine=affine, sparse=self.sparse)

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        rename(state_dict, prefix, _EARLIER_NAMES)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @override
    def _derive(self) -> None:
        like = self.head_start
        head_start = torch.zeros(like.size(0), dtype=like.dtype, device="cpu")
        if not self.normalize:
            head_start[position_offsets(self.codebook_sizes)] = HEAD_START
        self.head_start = head_start.to(self.temperature.device)

    def _free_logits(self, n_id: Tensor | None) -> Tensor:
        """``[B, D, K]`` from the logit table."""
        logits = at_least_float32(self.logit_rows(n_id))
        if self.norm is not None:
            gain, shift = self.norm.of_logits(logits)
            logits = logits * gain + shift
        logits = logits * self.scale + at_least_float32(self.head_start)
        return pad_positions(logits, self.codebook_sizes, float("-inf"))

    def _query_and_keys(self, n_id: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``[B, D, r]``, keys ``[D, K, r]`` and bias ``[D, K]``, normalised."""
        positions = len(self.codebook_sizes)
        rows = at_least_float32(self.query_rows(n_id))
        query = torch.unflatten(rows, -1, (positions, -1))
        keys, bias = (
            at_least_float32(self.key_rows()),
            at_least_float32(self.head_start),
        )
        if self.norm is not None:
            gain, shift = self.norm.of_queries(query, keys, self.codebook_sizes)
            keys, bias = keys * gain.unsqueeze(-1), bias + self.scale * shift
        by_choice = pad_positions(keys.t() * self.scale, self.codebook_sizes, 0.0)
        bias = pad_positions(bias, self.codebook_sizes, float("-inf"))
        return query, by_choice.permute(1, 2, 0), bias


def default_query_dim(codebook_size: int | Sequence[int]) -> int:
    """One number per bit of the choices beside the null code.

    In one dimension a key can win at either end, so two choices and the null code are
    within reach; every further dimension doubles the directions.

    Example:
        >>> [default_query_dim(size) for size in (2, 3, 5, 32)]
        [1, 1, 2, 5]
    """
    largest = codebook_size if isinstance(codebook_size, int) else max(codebook_size)
    return code_bits(max(2, largest - 1))
