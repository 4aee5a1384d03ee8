"""AutoEncoding: codes predicted from the teacher's vectors."""

import torch
from torch import Tensor, nn

from kdgraph.encoder import Encoder, Encoding
from kdgraph.guidance.base import mean_square
from kdgraph.ops import LogitSelection, pad_positions


class AutoEncoding(nn.Module):
    r"""Predict codes from a teacher's vectors, through the student's own composer.

    The auto-encoding option of pre-trained guidance (``ec_emb_autoencoding`` of the
    KD-encoding code; Chen, Min, Sun, ICML 2018): a network maps the teacher's vector to
    logits, :math:`\psi_v = \mathrm{MLP}(u^*_v)`, whose codes the student's composer f
    composes, and the loss gets

    .. math:: \lambda_2 \overline{(f(\psi_v) - u^*_v)^2} +
        \lambda_3 \overline{(\psi_v - \phi_v)^2}

    with :math:`\phi_v` the coder's logits.

    Args:
        encoder: The student, with a coder that has logits; referred to, not owned.
        reconstruction_weight: :math:`\lambda_2`. (default: ``0.1``)
        logit_weight: :math:`\lambda_3`. (default: ``0.01``)
        hidden_dim: Width of the hidden layer. (default: ``100``)

    Raises:
        TypeError: A student without codes.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> from kdgraph.guidance import PretrainedDistillation
        >>> encoder = KDEmbedding(100, 16, num_codebooks=8, codebook_size=4)
        >>> guidance = PretrainedDistillation(
        ...     torch.randn(100, 16), auto_encoding=AutoEncoding(encoder)
        ... )
        >>> loss = guidance(encoder.encode()).penalty
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        reconstruction_weight: float = 0.1,
        logit_weight: float = 0.01,
        hidden_dim: int = 100,
    ) -> None:
        super().__init__()
        composer = getattr(encoder, "composer", None)
        if composer is None:
            raise TypeError(
                "AutoEncoding expects an encoder with codes, got "
                f"{type(encoder).__name__}"
            )
        self.reconstruction_weight = reconstruction_weight
        self.logit_weight = logit_weight
        # In a tuple, so that the student's parameters are not registered here as well.
        self._student = (composer,)
        self.network = nn.Sequential(
            nn.Linear(encoder.embedding_dim, hidden_dim),
            nn.Tanh(),
            nn.Linear(hidden_dim, sum(composer.codebook_sizes)),
        )

    def reset_parameters(self) -> None:
        """Draw the network anew."""
        for layer in self.network:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def forward(self, encoding: Encoding, target: Tensor) -> Tensor:
        """Both terms, a scalar.

        Args:
            encoding: The student's.
            target: The teacher's vectors, of the same shape.

        Raises:
            ValueError: The student's coder has no logits.
        """
        selection = encoding.selection
        logits = None if selection is None else selection.scores()
        if logits is None:
            raise ValueError(
                "AutoEncoding needs a coder with logits; use SoftmaxCoder, GumbelCoder "
                "or ThresholdCoder"
            )
        (composer,) = self._student
        rows = target.reshape(-1, target.size(-1))
        predicted = pad_positions(
            self.network(rows), composer.codebook_sizes, float("-inf")
        )
        chosen = LogitSelection(
            predicted.argmax(dim=-1),
            logits=predicted,
            temperature=predicted.new_ones(()),
        )
        reconstruction = mean_square(composer(chosen) - rows)
        real = torch.isfinite(predicted)
        difference = torch.where(real, predicted - logits, 0.0)
        match = difference.square().sum() / (real.sum().clamp(min=1))
        return self.reconstruction_weight * reconstruction + self.logit_weight * match
