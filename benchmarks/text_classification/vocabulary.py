"""Vocabulary: words to ids, and sentences to padded batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.text_classification.corpus import Sentence

UNKNOWN = 0
"""The id of every word that the training part does not have."""


class Batch(NamedTuple):
    """Sentences side by side, the shorter ones padded.

    Args:
        ids: Word ids ``[B, T]``; :data:`UNKNOWN` where there is padding.
        mask: Where there are words, ``[B, T]``.
        labels: Classes ``[B]``.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor


class Vocabulary:
    """The words of the training part, most frequent first, after the unknown one.

    Args:
        sentences: The training part, and nothing else.
    """

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        counts: dict[str, int] = {}
        for sentence in sentences:
            for word in sentence.words:
                counts[word] = counts.get(word, 0) + 1
        words = sorted(counts, key=lambda word: (-counts[word], word))
        self.ids = {word: place for place, word in enumerate(words, start=1)}

    def __len__(self) -> int:
        """Words, and the unknown one."""
        return 1 + len(self.ids)

    def encode(self, sentence: Sentence) -> list[int]:
        """Ids of the words of a sentence."""
        return [self.ids.get(word, UNKNOWN) for word in sentence.words]


class Part:
    """Sentences as ids, ready to be batched.

    Args:
        sentences: At least one.
        vocabulary: Of the training part.
    """

    def __init__(self, sentences: Sequence[Sentence], vocabulary: Vocabulary) -> None:
        self.rows = [torch.tensor(vocabulary.encode(one)) for one in sentences]
        self.labels = torch.tensor([one.label for one in sentences])

    def __len__(self) -> int:
        """Number of sentences."""
        return len(self.rows)

    def batch(self, places: Sequence[int]) -> Batch:
        """Pad some sentences to the longest of them."""
        rows = [self.rows[place] for place in places]
        lengths = torch.tensor([row.numel() for row in rows])
        ids = torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=UNKNOWN
        )
        mask = torch.arange(ids.size(1)) < lengths.unsqueeze(1)
        return Batch(ids, mask, self.labels[torch.tensor(places)])

    def batches(self, size: int) -> Iterator[Batch]:
        """All sentences in order, to evaluate."""
        for start in range(0, len(self), size):
            yield self.batch(range(start, min(start + size, len(self))))

    def shuffled(self, size: int) -> Iterator[Batch]:
        """All sentences in random order, those of like length together, to train.

        A hundred batches at a time are sorted by length and dealt out in random order:
        there is less padding to compute, and batches differ from epoch to epoch.
        """
        order = torch.randperm(len(self)).tolist()
        for start in range(0, len(order), 100 * size):
            chunk = order[start : start + 100 * size]
            chunk.sort(key=lambda place: self.rows[place].numel())
            groups = [chunk[at : at + size] for at in range(0, len(chunk), size)]
            for group in torch.randperm(len(groups)).tolist():
                yield self.batch(groups[group])
