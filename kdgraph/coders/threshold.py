"""ThresholdCoder: binary codes by the sign of one logit."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.coders.base import Coder
from kdgraph.coders.logit import HEAD_START, SPREAD
from kdgraph.coders.rows import Rows, rename
from kdgraph.composers import Composer
from kdgraph.ops import Codebooks, LogitSelection, Selection, at_least_float32


class ThresholdCoder(Coder):
    r"""Learn one bit per position: :math:`k_{v,j} = [\phi_{v,j} > 0]`.

    The binary variant ``STE_threshold`` of the KD-encoding code (Chen, Min, Sun, ICML
    2018): one logit per position where K = 2, relaxed as :math:`\sigma(\phi / \tau)`,
    so the one-hot is :math:`(1 - y, y)`. Training state is D numbers a node.

    Args:
        temperature: :math:`\tau`; a schedule may move it. (default: ``1.0``)
        scale: Factor s on the logits, as in :class:`SoftmaxCoder`, whose two
            logits move apart twice as fast. (default: ``20.0``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: An option out of range, or an alphabet other than 2.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(
        ...     9, 8, num_codebooks=8, codebook_size=2, coder="threshold"
        ... )
        >>> encoder.inference_bytes()  # 9 rows of a byte, 8 x 2 codewords of one float
        73
    """

    temperature: Tensor

    sparse_parameters: ClassVar[tuple[str, ...]] = ("logit_rows.weight",)

    def __init__(
        self, *, temperature: float = 1.0, scale: float = 20.0, sparse: bool = False
    ) -> None:
        super().__init__()
        if not temperature > 0 or not scale > 0:
            raise ValueError(
                "ThresholdCoder expects temperature and scale above 0, got "
                f"temperature={temperature} and scale={scale}"
            )
        self.scale = scale
        self.sparse = sparse
        self._start_temperature = temperature
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    @property
    def config(self) -> dict[str, object]:
        """The constructor arguments; the temperature it began with."""
        return super().config | {"temperature": self._start_temperature}

    @property
    def logits(self) -> Tensor:
        """The logits of all nodes, ``[N, D]``."""
        return self.logit_rows.weight

    def reset_parameters(self) -> None:
        """Start every node just below the threshold, and restore the temperature."""
        self._require_bound()
        with torch.no_grad():
            self.temperature.fill_(self._start_temperature)
            # The difference of two logits spreads by a factor of sqrt 2.
            self.logits.normal_(-HEAD_START, 2**0.5 * SPREAD).div_(self.scale)

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        rename(state_dict, prefix, {"logits": "logit_rows.weight"})
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @override
    def _build(self, composer: Composer) -> None:
        if any(size != 2 for size in self.codebook_sizes):
            raise ValueError(
                "ThresholdCoder makes binary codes and needs codebook_size=2, got "
                f"{max(self.codebook_sizes)}; use SoftmaxCoder for larger alphabets"
            )
        positions = len(self.codebook_sizes)
        self.logit_rows = Rows(self.num_nodes, positions, sparse=self.sparse)

    @property
    @override
    def by_node(self) -> bool:
        """True, as a node's logits are its own."""
        return True

    @override
    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        one = at_least_float32(self.logit_rows(n_id)) * self.scale
        logits = torch.stack((torch.zeros_like(one), one), dim=-1)
        return LogitSelection(
            (one > 0).long(), logits=logits, temperature=self.temperature.clone()
        )
