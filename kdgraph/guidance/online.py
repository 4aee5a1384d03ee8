"""OnlineDistillation: a teacher that learns beside the codes."""

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.baselines import FullEmbedding
from kdgraph.encoder import Encoder, Encoding
from kdgraph.guidance.base import Guidance, mean_square
from kdgraph.guidance.schedules import Schedule, as_schedule


class OnlineDistillation(Guidance):
    r"""Train a teacher beside the codes, and pull the codes toward it.

    Online distillation guidance of KD encoding (Chen, Min, Sun, ICML 2018, section 3.3;
    run mode ``online_guide`` of its code). With the teacher's vector :math:`u_v` and
    the code vector :math:`e_v`, a training step sees the teacher in a row with
    probability :math:`1 - p` and the codes otherwise, and for :math:`p = 0` the average
    of both; the loss gets :math:`\lambda \, \overline{(e_v - \mathrm{sg}(u_v))^2}`,
    averaged over rows and channels. Only the rows of the batch are touched. Evaluation
    sees the codes alone.

    Args:
        teacher: The teacher: any encoder of the same sizes, or an encoder's sizes
            ``(num_nodes, embedding_dim)`` for a full table.
        weight: :math:`\lambda`, a number or a schedule. (default: ``0.1``)
        mix: p, probability that a row shows the codes; a number or a schedule.
            (default: ``0.5``)

    Raises:
        TypeError: A teacher that is no encoder.
        ValueError: A probability out of range, or teacher and student of other sizes.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(100, 16, num_codebooks=8, codebook_size=4)
        >>> guidance = OnlineDistillation((100, 16))
        >>> n_id = torch.tensor([1, 2, 3])
        >>> encoding = guidance(encoder.encode(n_id), n_id)
        >>> loss = encoding.x.square().mean() + encoding.penalty
    """

    def __init__(
        self,
        teacher: Encoder | tuple[int, int],
        *,
        weight: float | Schedule = 0.1,
        mix: float | Schedule = 0.5,
    ) -> None:
        super().__init__()
        if isinstance(teacher, tuple):
            teacher = FullEmbedding(*teacher)
        if not isinstance(teacher, Encoder):
            raise TypeError(
                "OnlineDistillation expects a teacher as an Encoder or as (num_nodes, "
                f"embedding_dim), got {type(teacher).__name__}"
            )
        self.teacher = teacher
        self.weight = as_schedule(weight)
        self.mix = as_schedule(mix)
        self._set(0)

    def reset_parameters(self) -> None:
        """Draw the teacher anew."""
        self.teacher.reset_parameters()
        self._set(0)

    @override
    def _move(self, step: int) -> None:
        self._set(step)

    @override
    def forward(self, encoding: Encoding, n_id: Tensor | None = None) -> Encoding:
        """Mix the teacher in, and add the pull toward it."""
        if not self.training:
            return encoding
        self._count()
        target = self.teacher.encode(n_id)
        check_same_shape(self, encoding.x, target.x)
        pull = mean_square(encoding.x - target.x.detach())
        penalty = encoding.penalty + target.penalty + self._weight * pull
        if self._mix == 0.0:
            mixed = (encoding.x + target.x) / 2
        else:
            shown = torch.rand_like(encoding.x[..., :1]) < self._mix
            mixed = torch.where(shown, encoding.x, target.x)
        return self._watched(Encoding(mixed, penalty, encoding.selection))

    def _set(self, step: int) -> None:
        self._weight, self._mix = self.weight(step), self.mix(step)
        if not 0.0 <= self._mix <= 1.0:
            raise ValueError(
                f"OnlineDistillation expects mix in [0, 1], got {self._mix} at step "
                f"{step}"
            )


def check_same_shape(owner: Guidance, student: Tensor, teacher: Tensor) -> None:
    """Refuse a teacher whose vectors are not the student's size.

    Raises:
        ValueError: Shapes that differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"{type(owner).__name__} got student vectors {tuple(student.shape)} and "
            f"teacher vectors {tuple(teacher.shape)}; num_nodes and embedding_dim must "
            "agree"
        )
