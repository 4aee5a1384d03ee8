"""PretrainedDistillation: a teacher that was trained before."""

from typing import Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.baselines import FullEmbedding
from kdgraph.encoder import Encoder, Encoding
from kdgraph.guidance.auto_encoding import AutoEncoding
from kdgraph.guidance.base import Guidance, mean_square
from kdgraph.guidance.online import check_same_shape
from kdgraph.guidance.schedules import Schedule, as_schedule


class PretrainedDistillation(Guidance):
    r"""Pull the codes toward a frozen teacher.

    Pre-trained distillation guidance of KD encoding (Chen, Min, Sun, ICML 2018, section
    3.3; run mode ``emb_guide`` of its code): the loss gets
    :math:`\lambda \, \overline{(e_v - u^*_v)^2}` with a frozen table :math:`u^*`,
    averaged over rows and channels. The teacher's bytes count while training, once.

    Args:
        teacher: Vectors ``[N, C]``, or an encoder; frozen here.
        weight: :math:`\lambda`, a number or a schedule. (default: ``1.0``)
        auto_encoding: The auto-encoding option, or ``None``. (default: ``None``)

    Raises:
        TypeError: A teacher that is neither.
        ValueError: Teacher and student of other sizes.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(100, 16, num_codebooks=8, codebook_size=4)
        >>> guidance = PretrainedDistillation(torch.randn(100, 16))
        >>> bool(guidance(encoder.encode()).penalty > 0)
        True
    """

    def __init__(
        self,
        teacher: Tensor | Encoder,
        *,
        weight: float | Schedule = 1.0,
        auto_encoding: AutoEncoding | None = None,
    ) -> None:
        super().__init__()
        self.teacher = _frozen(teacher, type(self).__name__)
        self.weight = as_schedule(weight)
        self.auto_encoding = auto_encoding
        self._weight = self.weight(0)

    def reset_parameters(self) -> None:
        """Draw the auto-encoder anew; the teacher stays."""
        if self.auto_encoding is not None:
            self.auto_encoding.reset_parameters()

    @override
    def train(self, mode: bool = True) -> Self:
        """Train the auto-encoder; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    @override
    def _move(self, step: int) -> None:
        self._weight = self.weight(step)

    @override
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Add the pull toward the teacher."""
        if not self.training:
            return encoding
        self._count()
        target = self._target(n_id)
        check_same_shape(self, encoding.x, target)
        pull = mean_square(encoding.x - target)
        penalty = encoding.penalty + self._weight * pull
        if self.auto_encoding is not None:
            penalty = penalty + self.auto_encoding(encoding, target)
        return self._watched(Encoding(encoding.x, penalty, encoding.selection))

    @torch.no_grad()
    def _target(self, n_id: Tensor | None) -> Tensor:
        vectors: Tensor = self.teacher(n_id)
        return vectors


def _frozen(teacher: Tensor | Encoder, owner: str) -> Encoder:
    if isinstance(teacher, Encoder):
        return teacher.export()
    if not isinstance(teacher, Tensor) or not teacher.is_floating_point():
        given = teacher.dtype if isinstance(teacher, Tensor) else type(teacher).__name__
        raise TypeError(
            f"{owner} expects a teacher as float vectors [N, C] or an Encoder, got "
            f"{given}"
        )
    if teacher.dim() != 2 or not bool(torch.isfinite(teacher).all()):
        raise ValueError(
            f"{owner} expects a teacher of finite vectors [N, C], got shape "
            f"{tuple(teacher.shape)}"
        )
    with torch.device("meta"):
        table = FullEmbedding(teacher.size(0), teacher.size(1))
    table.weight = nn.Parameter(teacher.detach().clone())
    return table.export()
