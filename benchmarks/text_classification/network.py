"""SentenceClassifier: an encoder of words, and a small network over its vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.text_classification.vocabulary import UNKNOWN, Batch
from kdgraph.encoder import Encoder
from kdgraph.guidance import Guidance

POOLS = ("mean", "cnn")
_WIDTHS = (3, 4, 5)


class SentenceClassifier(nn.Module):
    r"""Class scores of sentences, from the vectors of their words.

    ``"mean"`` is the deep averaging network of Iyyer et al. (ACL 2015): the mean of the
    word vectors, one hidden layer with ReLU, and the scores. ``"cnn"`` is the network
    of Kim (EMNLP 2014): ``hidden_dim / 3`` filters over windows of 3, 4 and 5 words
    each, the maximum over places, and the scores. Both are followed, or preceded, by
    dropout as there. Padding changes no score.

    Args:
        encoder: Of the words; any encoder.
        num_classes: Number of scores.
        pool: ``"mean"`` or ``"cnn"``. (default: ``"mean"``)
        hidden_dim: Width of what the scores are read off. (default: ``100``)
        dropout: On the pooled vectors and the hidden ones. (default: ``0.5``)
        word_dropout: Probability with which a training step takes a word for an
            unknown one, which learns its vector that way. (default: ``0.1``)
        guidance: Of the codes while training, or ``None``.
    """

    def __init__(
        self,
        encoder: Encoder,
        num_classes: int,
        *,
        pool: str = "mean",
        hidden_dim: int = 100,
        dropout: float = 0.5,
        word_dropout: float = 0.1,
        guidance: Guidance | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.guidance = guidance
        self.dropout = dropout
        self.word_dropout = word_dropout
        channels = encoder.embedding_dim
        self.hidden: nn.Linear | None = None
        self.filters = nn.ModuleList()
        if pool == "mean":
            self.hidden = nn.Linear(channels, hidden_dim)
        else:
            hidden_dim = hidden_dim // len(_WIDTHS) * len(_WIDTHS)
            self.filters.extend(
                nn.Conv1d(
                    channels, hidden_dim // len(_WIDTHS), width, padding=width - 1
                )
                for width in _WIDTHS
            )
        self.scores = nn.Linear(hidden_dim, num_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Scores ``[B, classes]``."""
        return self.scored(batch)[0]

    def scored(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores, and what a training step adds to its loss."""
        ids, mask = batch.ids, batch.mask
        if self.training and self.word_dropout > 0:
            missed = torch.rand(ids.shape) < self.word_dropout
            ids = ids.masked_fill(missed, UNKNOWN)
        # A word that comes often is encoded once.
        words, places = torch.unique(ids, return_inverse=True)
        encoding = self.encoder.encode(words)
        if self.guidance is not None:
            encoding = self.guidance(encoding, words)
        if self.hidden is None:
            pooled = self._windows(encoding.x[places], mask)
        else:
            pooled = torch.relu(self.hidden(self._mean(encoding.x, places, mask)))
        return self.scores(self._drop(pooled)), encoding.penalty

    def responses(self, x: Tensor) -> Tensor:
        """What is read, linearly, off vectors ``[B, C]``: ``[B, R]`` without biases."""
        if self.hidden is not None:
            return x @ self.hidden.weight.T
        # A filter reads a word at each place of its window.
        taps = [one.weight.transpose(1, 2).flatten(0, 1) for one in self.filters]
        return x @ torch.cat(taps).T

    def _mean(self, x: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Mean ``[B, C]`` of the vectors of each sentence, after dropout."""
        weight = mask / mask.sum(dim=1, keepdim=True)
        mean = functional.embedding_bag(
            places, x, mode="sum", per_sample_weights=weight.to(x.dtype)
        )
        return self._drop(mean)

    def _windows(self, x: Tensor, mask: Tensor) -> Tensor:
        """Largest response ``[B, hidden]`` of each filter to a window with a word."""
        x = (x * mask.unsqueeze(-1)).transpose(1, 2)
        lengths = mask.sum(dim=1, keepdim=True)
        found = []
        for width, one in zip(_WIDTHS, self.filters, strict=True):
            responses = one(x)
            # The last word is in ``width`` windows, the first of which ends there.
            ends = torch.arange(responses.size(2))
            beyond = (ends >= lengths + width - 1).unsqueeze(1)
            responses = responses.masked_fill(beyond, float("-inf"))
            found.append(torch.relu(responses.amax(dim=2)))
        return torch.cat(found, dim=1)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, training=self.training)
