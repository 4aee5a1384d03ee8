"""The loop: one seed of one method on one graph."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdgraph.coders import FixedCoder, RefinedCoder
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.training.batches import Batch
from kdgraph.training.batching import Batching
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.config import TrainConfig
from kdgraph.training.metric import Metric
from kdgraph.training.metrics import classification_loss, positive_weights
from kdgraph.training.model_file import best_embedding
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.ranks import Ranks
from kdgraph.training.refinement import Refinement
from kdgraph.training.stored import stored_fields

Observer = Callable[["Trainer"], None]


@dataclass
class Progress:
    """Where a seed stands; plain values, so that a checkpoint can hold it.

    Args:
        epoch: Epochs done.
        step: Steps of the next one that are done.
        loss: What these add to its loss.
        share: Of its training nodes, what they have seen.
        best_epoch: The one that was best on validation, the first of equals.
        best_valid: Its validation score.
        best_test: Its test score, once that was asked for.
        seconds: What the optimisation steps took, evaluation not counted.
        steps: How many there were, in all epochs.
        sent: Bytes that this process gave to others in them.
        losses: Of every epoch.
        valid_scores: Of the epochs that were scored.
        scored_epochs: Which they are.
        threshold: Of the best epoch, where the metric picks one on validation.
        reverted: Epochs after which a re-assignment of codes was taken back.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    share: float = 0.0
    best_epoch: int = -1
    best_valid: float = -1.0
    best_test: float = -1.0
    seconds: float = 0.0
    steps: int = 0
    sent: int = 0
    losses: list[float] = field(default_factory=list)
    valid_scores: list[float] = field(default_factory=list)
    scored_epochs: list[int] = field(default_factory=list)
    threshold: float | None = None
    reverted: list[int] = field(default_factory=list)


class Trainer:
    """Train one seed, keeping the state that is best on validation.

    Args:
        config: A resolved configuration.
        graph: Where to train.
        model: Encoder, guidance and network.
        batching: How an epoch is cut into steps.
        device: Where to run.
        ranks: The processes that train together. (default: this one)

    Raises:
        ValueError: A graph with nothing to train on, to select by or to report on.
    """

    def __init__(
        self,
        config: TrainConfig,
        graph: Graph,
        model: NodeClassifier,
        batching: Batching,
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> None:
        for name in ("train_idx", "valid_idx", "test_idx"):
            if getattr(graph, name).numel() == 0:
                raise ValueError(
                    f"training needs at least one node in {name}, got none"
                )
        self.config = config
        self.device = device
        self.model = model.to(device)
        self.batching = batching
        self.ranks = ranks or Ranks()
        self.y = graph.y
        self.valid_idx, self.test_idx = graph.valid_idx, graph.test_idx
        self.optimizer = Optimizers(config, model)
        self.metric = Metric(config.metric or graph.metric)
        self.pos_weight: Tensor | None = None
        if config.pos_weight > 0:
            known = self.y[graph.train_idx]
            self.pos_weight = positive_weights(known, config.pos_weight).to(device)
        self.progress = Progress()
        self.best: dict[str, Any] = {}
        steps = batching.steps if config.by_rows else None
        model.encoder.expect_epochs()
        self.refinement = Refinement(model, self.optimizer, steps, self.ranks)
        self._forward = self.ranks.parallel(self.model, self.optimizer.rows)

    @property
    def _scores_now(self) -> bool:
        """Whether validation has its say after this epoch.

        It has after every ``eval_every``-th and the last, and where it decides whether
        a re-assignment of codes is kept.
        """
        done, epochs = self.progress.epoch + 1, self.config.epochs or 0
        due = done % self.config.eval_every == 0 or done >= epochs
        return due or self.refinement.due(done)

    @property
    def done(self) -> bool:
        """Whether the epochs or the patience are used up."""
        epochs, patience = self.config.epochs or 0, self.config.patience or 0
        waited = self.progress.epoch - 1 - self.progress.best_epoch
        return self.progress.epoch >= epochs or (patience > 0 and waited >= patience)

    def run(
        self, after_epoch: Observer | None = None, after_step: Observer | None = None
    ) -> None:
        """Train to the end, from wherever the state stands.

        Args:
            after_epoch: Called between epochs, when the state is one to keep.
            after_step: Called between the steps of an epoch, when it is one too.

        Raises:
            FloatingPointError: A loss or a score that is not finite.
        """
        now = self.progress
        while not self.done:
            self._epoch(after_step)
            if self._scores_now:
                self._evaluate()
            now.losses.append(now.loss)
            now.epoch += 1
            now.step, now.loss, now.share = 0, 0.0, 0.0
            if self.refinement.judge(now.epoch, now.best_valid, self.best):
                now.reverted.append(now.epoch)
            if after_epoch is not None:
                after_epoch(self)
        if now.best_test < 0:
            self._test(self.best_scores(self.test_idx))

    def state_dict(self) -> dict[str, Any]:
        """Everything a later run needs to go on as if it had not been stopped."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
            "refinement": self.refinement.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the random generators go on too."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        self.progress = Progress(**stored_fields(Progress, state["progress"]))
        self.refinement.load_state_dict(state["refinement"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)

    def best_encoder(self) -> Encoder:
        """The encoder of the epoch that was best on validation, not to be trained.

        That epoch becomes the state of the network, and of an encoder that is no codes.
        """
        encoder = self.model.encoder
        self.model.gnn.load_state_dict(self.best["gnn"])
        if isinstance(encoder, KDEmbedding):
            return best_embedding(encoder, self.best).to(self.device).eval()
        encoder.load_state_dict(self.best["encoder"])
        return encoder.eval()

    @torch.no_grad()
    def best_scores(self, rows: Tensor | None = None) -> Tensor:
        """Class scores of the epoch that was best on validation.

        Args:
            rows: Of these nodes, ``[B, T]``; of all where ``None``. (default: ``None``)
        """
        return self.batching.scores(rows, self.best_encoder())

    @torch.no_grad()
    def scores_of(self, encoder: Encoder) -> tuple[float, float, float | None]:
        """What the network, as it stands, scores with an encoder.

        Returns:
            The scores on validation and on test, and the threshold that validation
            picked for them, if the metric has one.
        """
        logits = self.batching.scores(self.valid_idx, encoder.eval())
        fitted, valid = self._judge(logits)
        logits = self.batching.scores(self.test_idx, encoder)
        test = fitted(fitted.scores(logits.cpu()), self.y[self.test_idx])
        return valid, test, fitted.threshold

    def _epoch(self, after_step: Observer | None) -> None:
        """Take the steps that are left of an epoch."""
        now = self.progress
        while now.step < self.batching.steps:
            begun, sent = time.perf_counter(), self.ranks.sent
            batch = self.batching.batch(now.epoch, now.step)
            now.loss += self._step(batch) * batch.share
            now.share += batch.share
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            now.seconds += time.perf_counter() - begun
            now.sent += self.ranks.sent - sent
            now.steps += 1
            now.step += 1
            if after_step is not None and now.step < self.batching.steps:
                after_step(self)
        self.batching.end_epoch(now.epoch)
        self.model.encoder.after_epoch(now.epoch)

    def _step(self, batch: Batch) -> float:
        """Learn from a batch; returns its loss."""
        now = self.progress
        self.refinement.before_step(now.epoch, now.best_valid, now.step)
        self.model.train()
        for guide in self.model.guidance:
            guide.set_progress(now.epoch)
        self.optimizer.zero_grad()
        with torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
        ):
            logits, penalty = self._forward(batch)
            seen = classification_loss(
                logits[batch.rows], batch.labels, self.pos_weight
            )
        loss = seen * batch.weight + penalty
        value = self.ranks.mean(float(loss.detach()))
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        loss.backward()
        self.ranks.averaged(self.model, self.optimizer.rows)
        self.optimizer.step()
        self.refinement.after_step(now.step)
        return value

    @torch.no_grad()
    def _evaluate(self) -> None:
        at_once = self.batching.all_at_once
        rows = None if at_once else self.valid_idx
        logits = self.batching.scores(rows)
        if not torch.isfinite(logits).all():
            raise self._diverged("a class score is not finite")
        seen = logits[self.valid_idx] if at_once else logits
        fitted, valid = self._judge(seen)
        self.progress.valid_scores.append(valid)
        self.progress.scored_epochs.append(self.progress.epoch)
        if valid > self.progress.best_valid:
            self.progress.best_valid = valid
            self.progress.best_test = -1.0
            self.progress.best_epoch = self.progress.epoch
            self.progress.threshold = fitted.threshold
            self.best = self._snapshot()
            if at_once:
                self._test(logits[self.test_idx])

    def _judge(self, logits: Tensor) -> tuple[Metric, float]:
        """The metric with the threshold for logits of validation nodes, and a score."""
        scores, y = self.metric.scores(logits.cpu()), self.y[self.valid_idx]
        fitted = self.metric.fitted(scores, y)
        return fitted, fitted(scores, y)

    def _test(self, logits: Tensor) -> None:
        metric = Metric(self.metric.name, self.progress.threshold)
        scores = metric.scores(logits.cpu())
        self.progress.best_test = metric(scores, self.y[self.test_idx])

    def _diverged(self, what: str) -> FloatingPointError:
        where = f"epoch {self.progress.epoch}"
        if self.batching.steps > 1:
            where = f"step {self.progress.step} of {where}"
        return FloatingPointError(f"{what} at {where}; try a smaller lr")

    def _snapshot(self) -> dict[str, Any]:
        """What the best epoch leaves: packed codes and composer, or a whole encoder."""
        encoder = self.model.encoder
        kept: dict[str, Any] = {"gnn": _copied(self.model.gnn.state_dict())}
        if isinstance(encoder, KDEmbedding):
            coder = encoder.coder
            stays = isinstance(coder, FixedCoder) and not isinstance(
                coder, RefinedCoder
            )
            # Codes that no step changes are there once.
            packed = coder.packed if stays else encoder.code_table().packed
            kept["packed"] = packed.cpu()
            kept["composer"] = _copied(encoder.composer.stored_tensors())
            kept |= self.refinement.snapshot()
        else:
            kept["encoder"] = _copied(encoder.state_dict())
        return kept


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
