"""The full-batch loop: one seed of one method on one graph."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.training.classifier import NodeClassifier, features_for
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import optimizer_groups
from kdgraph.training.metrics import classification_loss, score
from kdgraph.training.model_file import best_embedding
from kdgraph.training.refinement import Refinement

Observer = Callable[["Trainer"], None]


@dataclass
class Progress:
    """Where a seed stands; plain values, so that a checkpoint can hold it.

    Args:
        epoch: Epochs done.
        best_epoch: The one that was best on validation, the first of equals.
        best_valid: Its validation score.
        best_test: Its test score.
        seconds: What the optimisation steps took, evaluation not counted.
        losses: Of every epoch.
        valid_scores: Of every epoch.
        reverted: Epochs after which a re-assignment of codes was taken back.
    """

    epoch: int = 0
    best_epoch: int = -1
    best_valid: float = -1.0
    best_test: float = -1.0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    valid_scores: list[float] = field(default_factory=list)
    reverted: list[int] = field(default_factory=list)


class Trainer:
    """Train one seed full-batch, keeping the state that is best on validation.

    Args:
        config: A resolved configuration.
        graph: Where to train.
        model: Encoder, guidance and network.
        adjacency: The graph as the network takes it.
        device: Where to run.

    Raises:
        ValueError: A graph with nothing to train on, to select by or to report on.
    """

    def __init__(
        self,
        config: TrainConfig,
        graph: Graph,
        model: NodeClassifier,
        adjacency: Tensor,
        device: torch.device,
    ) -> None:
        for name in ("train_idx", "valid_idx", "test_idx"):
            if getattr(graph, name).numel() == 0:
                raise ValueError(
                    f"training needs at least one node in {name}, got none"
                )
        self.config = config
        self.device = device
        self.model = model.to(device)
        self.adjacency = adjacency
        self.y = graph.y.to(device)
        self.train_idx = graph.train_idx.to(device)
        self.valid_idx = graph.valid_idx.to(device)
        self.test_idx = graph.test_idx.to(device)
        groups = optimizer_groups(config, model.encoder, model.guidance, model.gnn)
        self.optimizer = torch.optim.Adam(groups, lr=config.lr)
        self.progress = Progress()
        self.best: dict[str, Any] = {}
        self.refinement = Refinement(model)

    @property
    def done(self) -> bool:
        """Whether the epochs or the patience are used up."""
        epochs, patience = self.config.epochs or 0, self.config.patience or 0
        waited = self.progress.epoch - 1 - self.progress.best_epoch
        return self.progress.epoch >= epochs or (patience > 0 and waited >= patience)

    def run(self, after_epoch: Observer | None = None) -> None:
        """Train to the end, from wherever the state stands.

        Args:
            after_epoch: Called between epochs, when the state is one to keep.

        Raises:
            FloatingPointError: A loss or a score that is not finite.
        """
        while not self.done:
            begun = time.perf_counter()
            loss = self._step()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.progress.seconds += time.perf_counter() - begun
            self._evaluate()
            self.progress.losses.append(loss)
            self.progress.epoch += 1
            now = self.progress
            if self.refinement.judge(now.epoch, now.best_valid, self.best):
                now.reverted.append(now.epoch)
            if after_epoch is not None:
                after_epoch(self)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later run needs to go on as if it had not been stopped."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
            "refinement": self.refinement.mark,
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
        self.progress = Progress(**state["progress"])
        self.refinement.mark = state["refinement"]
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)

    @torch.no_grad()
    def best_scores(self) -> Tensor:
        """Class scores ``[N, T]`` of the epoch that was best on validation.

        It becomes the state of the network, and of an encoder that is no codes.
        """
        encoder, gnn = self.model.encoder, self.model.gnn.eval()
        gnn.load_state_dict(self.best["gnn"])
        if isinstance(encoder, KDEmbedding):
            encoder = best_embedding(encoder, self.best)
        else:
            encoder.load_state_dict(self.best["encoder"])
        features = features_for(gnn, encoder.to(self.device).eval())
        scores: Tensor = gnn(features, self.adjacency)
        return scores

    def _step(self) -> float:
        self.refinement.before_step(self.progress.epoch, self.progress.best_valid)
        self.model.train()
        for guide in self.model.guidance:
            guide.set_progress(self.progress.epoch)
        self.optimizer.zero_grad()
        logits, penalty = self.model(self.adjacency)
        seen = classification_loss(logits[self.train_idx], self.y[self.train_idx])
        loss = seen + penalty
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss is {value}")
        loss.backward()
        self.optimizer.step()
        encoder = self.model.encoder
        if isinstance(encoder, KDEmbedding):
            encoder.coder.after_epoch(self.progress.epoch, encoder.composer)
        return value

    @torch.no_grad()
    def _evaluate(self) -> None:
        self.model.eval()
        logits, _ = self.model(self.adjacency)
        if not torch.isfinite(logits).all():
            raise self._diverged("a class score is not finite")
        valid = score(logits[self.valid_idx], self.y[self.valid_idx])
        self.progress.valid_scores.append(valid)
        if valid > self.progress.best_valid:
            self.progress.best_valid = valid
            self.progress.best_test = score(
                logits[self.test_idx], self.y[self.test_idx]
            )
            self.progress.best_epoch = self.progress.epoch
            self.best = self._snapshot()

    def _diverged(self, what: str) -> FloatingPointError:
        return FloatingPointError(
            f"{what} at epoch {self.progress.epoch}; try a smaller lr"
        )

    def _snapshot(self) -> dict[str, Any]:
        """What the best epoch leaves: packed codes and composer, or a whole encoder."""
        encoder = self.model.encoder
        kept: dict[str, Any] = {"gnn": _copied(self.model.gnn.state_dict())}
        if isinstance(encoder, KDEmbedding):
            kept["packed"] = encoder.code_table().packed.cpu()
            kept["composer"] = _copied(encoder.composer.stored_tensors())
            if self.refinement.coder is not None:
                kept["trained"] = _copied(encoder.composer.state_dict())
        else:
            kept["encoder"] = _copied(encoder.state_dict())
        return kept


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
