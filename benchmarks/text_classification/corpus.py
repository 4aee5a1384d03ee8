"""Corpus: labelled sentences in three parts, as their authors' files have them."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

DATASETS = ("trec", "sst2", "mr")
"""TREC questions (Li, Roth, COLING 2002), SST-2 (Socher et al., EMNLP 2013) and MR
(Pang, Lee, ACL 2005)."""

SPLIT_SEED = 0
"""Of the parts that no file names."""

FOLDER = "text_classification"


class Sentence(NamedTuple):
    """Words in lower case, and a class."""

    words: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Corpus:
    """Sentences to learn from, to choose by, and to report.

    Args:
        name: Of the data set.
        train: Sentences to learn from.
        valid: Sentences that settings and epochs are chosen by.
        test: Sentences that nothing is chosen by.
    """

    name: str
    train: tuple[Sentence, ...]
    valid: tuple[Sentence, ...]
    test: tuple[Sentence, ...]

    @property
    def num_classes(self) -> int:
        """Classes among the sentences to learn from."""
        return 1 + max(sentence.label for sentence in self.train)


def load_corpus(name: str, root: Path | None = None) -> Corpus:
    """Read a data set from its files.

    SST-2 comes in three parts. Of TREC's 5,452 training questions a random tenth is
    held out for validation. MR comes in one part, and is cut at random into 80, 10 and
    10 %. The draws are the same for every method and seed.

    Args:
        name: One of :data:`DATASETS`.
        root: Folder of data sets, by default ``$KDGRAPH_DATA``; the files are in
            ``text_classification`` there.

    Raises:
        ValueError: An unknown name, or a line that is not a label and words.
        FileNotFoundError: No folder, or one without the files.
    """
    if name not in DATASETS:
        raise ValueError(f"text classification knows {DATASETS}, got {name!r}")
    folder = _folder(root)
    if name == "sst2":
        train, valid, test = (
            read_sentences(folder / f"stsa.binary.{part}", "utf-8")
            for part in ("train", "dev", "test")
        )
        return Corpus(name, train, valid, test)
    if name == "trec":
        train, valid = _cut(read_sentences(folder / "TREC.train.all"), 0.9)
        return Corpus(name, train, valid, read_sentences(folder / "TREC.test.all"))
    train, valid, test = _cut(read_sentences(folder / "rt-polarity.all"), 0.8, 0.9)
    return Corpus(name, train, valid, test)


def read_sentences(path: Path, encoding: str = "latin-1") -> tuple[Sentence, ...]:
    """Read lines of a label and words between blanks.

    Raises:
        ValueError: A line that is not that.
        FileNotFoundError: No such file.
    """
    found = []
    text = path.read_text(encoding=encoding)
    # Not splitlines(), which ends a line at some characters of latin-1 too.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        label, *words = line.lower().split()
        if not label.isdecimal() or not words:
            raise ValueError(
                f"{path.name}, line {number}: expected a label and words, got {line!r}"
            )
        found.append(Sentence(tuple(words), int(label)))
    return tuple(found)


def _folder(root: Path | None) -> Path:
    given = root if root is not None else os.environ.get("KDGRAPH_DATA")
    if given is None:
        raise FileNotFoundError(
            "text classification reads its data from a folder; name the one that has "
            f"{FOLDER}/ in it with --root or $KDGRAPH_DATA"
        )
    return Path(given) / FOLDER


def _cut(
    sentences: tuple[Sentence, ...], *shares: float
) -> tuple[tuple[Sentence, ...], ...]:
    """Sentences in random order, cut at shares of them."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(sentences), generator=generator).tolist()
    shuffled = tuple(sentences[place] for place in order)
    ends = [0, *(round(share * len(sentences)) for share in shares), len(sentences)]
    return tuple(shuffled[start:end] for start, end in itertools.pairwise(ends))
