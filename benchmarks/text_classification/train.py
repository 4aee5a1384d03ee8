"""Train one seed: Adam, and the epoch that is best on validation."""

import copy
import time
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional

from benchmarks.text_classification.corpus import Corpus
from benchmarks.text_classification.encoders import (
    make_encoder,
    make_guidance,
    needs_teacher,
)
from benchmarks.text_classification.network import SentenceClassifier
from benchmarks.text_classification.options import TextConfig
from benchmarks.text_classification.teacher import Teacher
from benchmarks.text_classification.vocabulary import Part, Vocabulary

_EVALUATION_SIZE = 256


class Parts:
    """A corpus as ids.

    Args:
        corpus: In words.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.vocabulary = Vocabulary(corpus.train)
        self.num_classes = corpus.num_classes
        self.train = Part(corpus.train, self.vocabulary)
        self.valid = Part(corpus.valid, self.vocabulary)
        self.test = Part(corpus.test, self.vocabulary)


@dataclass
class Trained:
    """What one seed gave, at the epoch that was best on validation.

    Args:
        model: As it was then.
        training_bytes: Of encoder and guidance, exact.
        best_epoch: After how many epochs; 0 is what training began with.
        valid_scores: Before the first epoch and after each.
    """

    model: SentenceClassifier
    training_bytes: int
    valid_score: float = -1.0
    test_score: float = 0.0
    best_epoch: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    valid_scores: list[float] = field(default_factory=list)


def train_seed(config: TextConfig, parts: Parts, seed: int) -> Trained:
    """Train a teacher if one is needed, then what the options ask for."""
    if not needs_teacher(config):
        return _train(config, parts, seed, None)
    first = replace(config, method="full", source="none", guidance="none")
    model = _train(first, parts, seed, None).model
    return _train(config, parts, seed, Teacher(model.encoder.export(), model))


def _train(
    config: TextConfig, parts: Parts, seed: int, teacher: Teacher | None
) -> Trained:
    torch.manual_seed(seed)
    num_words = len(parts.vocabulary)
    encoder = make_encoder(config, parts.train, num_words, teacher, seed)
    guidance = make_guidance(config, num_words, teacher)
    model = SentenceClassifier(
        encoder,
        parts.num_classes,
        pool=config.pool,
        hidden_dim=config.hidden_dim,
        dropout=config.dropout,
        word_dropout=config.word_dropout,
        guidance=guidance,
    )
    if config.source == "table" and teacher is not None:
        teacher.continue_in(model)
    learned = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=config.lr, fused=True)
    state = encoder.training_bytes("adam")
    if guidance is not None:
        state += guidance.training_bytes("adam")
    if teacher is not None:
        # The table is trained first; the phase that takes more counts.
        state = max(state, 16 * encoder.num_nodes * encoder.embedding_dim)
    trained = Trained(model, state)
    best = copy.deepcopy(model.state_dict())
    for epoch in range(1 + config.epochs):
        # What goes on from a table may be best as it is.
        if epoch > 0:
            began = time.perf_counter()
            loss = _epoch(model, parts.train, optimizer, config.batch_size)
            trained.losses.append(loss)
            encoder.after_epoch(epoch - 1)
            trained.seconds += time.perf_counter() - began
        score = accuracy(model, parts.valid)
        trained.valid_scores.append(score)
        if score > trained.valid_score:
            trained.valid_score, trained.best_epoch = score, epoch
            best = copy.deepcopy(model.state_dict())
        elif epoch - trained.best_epoch >= config.patience:
            break
    model.load_state_dict(best)
    trained.test_score = accuracy(model, parts.test)
    return trained


def _epoch(
    model: SentenceClassifier,
    part: Part,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
) -> float:
    """One pass; the mean loss of a sentence."""
    model.train()
    total = 0.0
    for batch in part.shuffled(batch_size):
        optimizer.zero_grad()
        scores, penalty = model.scored(batch)
        loss = functional.cross_entropy(scores, batch.labels)
        torch.autograd.backward(loss + penalty)
        optimizer.step()
        total += loss.item() * len(batch.labels)
    return total / len(part)


@torch.no_grad()
def accuracy(model: SentenceClassifier, part: Part) -> float:
    """Share of sentences whose class has the largest score."""
    model.eval()
    right = 0
    for batch in part.batches(_EVALUATION_SIZE):
        right += int((model(batch).argmax(dim=1) == batch.labels).sum())
    return right / len(part)
