"""Run a method over seeds: train or go on, record, keep the best model."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kdgraph.baselines import LabelPropagation
from kdgraph.codes import CodeTable
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.packed import PackedEmbedding
from kdgraph.training.classifier import NodeClassifier, message_graph
from kdgraph.training.config import TrainConfig
from kdgraph.training.loop import Trainer
from kdgraph.training.methods import build_encoder, build_gnn, build_guidance
from kdgraph.training.metrics import score
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss
from kdgraph.training.recipes import resolve_config
from kdgraph.training.result import MethodResult
from kdgraph.training.run_dir import RunDir

OnEpoch = Callable[[int, Trainer], None]

ALPHAS = (0.5, 0.9, 0.99)
"""What validation chooses from for label propagation."""


class Runner:
    """Train one method on one graph, seed by seed.

    Args:
        graph: Where to train.
        config: What to train; what it leaves open the recipe fills in.
        save: Folder for checkpoints, results and models, or ``None``.
        device: Where to run. (default: the CPU)
        checkpoint_seconds: Least time between checkpoints. (default: ``15``)
    """

    def __init__(
        self,
        graph: Graph,
        config: TrainConfig,
        *,
        save: Path | None = None,
        device: torch.device | None = None,
        checkpoint_seconds: float = 15.0,
    ) -> None:
        self.graph = graph
        self.config = resolve_config(config, graph)
        self.save = save
        self.device = device or torch.device("cpu")
        self.checkpoint_seconds = checkpoint_seconds

    def run(self, seeds: int, on_epoch: OnEpoch | None = None) -> MethodResult:
        """Train seeds 0 to ``seeds - 1``, skipping what the folder has finished.

        Args:
            seeds: How many.
            on_epoch: Called after every epoch with the seed and its trainer.

        Raises:
            ValueError: Sizes that do not fit, or a folder of another run.
            FloatingPointError: A loss that is not finite.
        """
        reset_peak_rss()
        if self.config.method == "labelprop":
            return self._result([self._propagate()])
        identity = {
            "config": self.config.as_dict(),
            "graph": {"name": self.graph.name, "fingerprint": self.graph.fingerprint()},
        }
        with contextlib.ExitStack() as stack:
            run_dir = None
            if self.save is not None:
                run_dir = stack.enter_context(RunDir(self.save, identity))
            adjacency = message_graph(self.config.model, self.graph, self.device)
            return self._result(
                [self._seed(seed, adjacency, run_dir, on_epoch) for seed in range(seeds)]
            )

    def _seed(
        self,
        seed: int,
        adjacency: torch.Tensor,
        run_dir: RunDir | None,
        on_epoch: OnEpoch | None,
    ) -> dict[str, Any]:
        done = None if run_dir is None else run_dir.result(seed)
        if done is not None:
            return done
        state = None if run_dir is None else run_dir.load(seed)
        teacher = self._teacher(seed, adjacency, trained=state is None)
        torch.manual_seed(seed)
        encoder = build_encoder(self.config, self.graph.num_nodes)
        guides = build_guidance(self.config, encoder, teacher)
        gnn = build_gnn(self.config, self.graph.num_classes)
        dropout = self.config.input_dropout or 0.0
        model = NodeClassifier(encoder, gnn, guides, dropout)
        trainer = Trainer(self.config, self.graph, model, adjacency, self.device)
        earlier_peak = 0
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            earlier_peak = state["peak_rss_bytes"]
        clock = _CheckpointClock(self.checkpoint_seconds)

        def after_epoch(trainer: Trainer) -> None:
            if on_epoch is not None:
                on_epoch(seed, trainer)
            if run_dir is not None and clock.due():
                peak = max(earlier_peak, peak_rss_bytes())
                saved = {"trainer": trainer.state_dict(), "peak_rss_bytes": peak}
                clock.time(lambda: run_dir.save(seed, saved))

        trainer.run(after_epoch)
        guidance_bytes = sum(guide.training_bytes("adam") for guide in guides)
        progress = trainer.progress
        result = {
            "seed": seed,
            "test_score": progress.best_test,
            "valid_score": progress.best_valid,
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "seconds": progress.seconds,
            "inference_bytes": encoder.inference_bytes(),
            "training_bytes": encoder.training_bytes("adam") + guidance_bytes,
            "peak_rss_bytes": max(earlier_peak, peak_rss_bytes()),
            "losses": progress.losses,
            "valid_scores": progress.valid_scores,
        }
        if run_dir is not None:
            if isinstance(encoder, KDEmbedding):
                self._export(encoder, trainer, result, run_dir.artifact_path(seed))
            run_dir.finish(seed, result)
        return result

    def _teacher(
        self, seed: int, adjacency: torch.Tensor, *, trained: bool
    ) -> Encoder | None:
        """The table that pre-trained guidance pulls toward, trained the same way.

        A checkpoint holds the teacher, so a run that goes on needs only its shape.
        """
        if self.config.guidance != "pretrained":
            return None
        config = self.config.replace(method="full", guidance="none", entropy_weight=0.0)
        torch.manual_seed(seed)
        teacher = build_encoder(config, self.graph.num_nodes)
        if trained:
            gnn = build_gnn(config, self.graph.num_classes)
            model = NodeClassifier(teacher, gnn, [], config.input_dropout or 0.0)
            trainer = Trainer(config, self.graph, model, adjacency, self.device)
            trainer.run()
            teacher.load_state_dict(trainer.best["encoder"])
        return teacher

    def _export(
        self, encoder: KDEmbedding, trainer: Trainer, result: dict[str, Any], path: Path
    ) -> None:
        """Write the model of the best epoch as an artifact."""
        table = CodeTable(trainer.best["packed"], encoder.codebook_sizes)
        encoder.composer.load_state_dict(trainer.best["composer"], strict=False)
        metadata = {
            "dataset": self.graph.name,
            "graph_fingerprint": self.graph.fingerprint(),
            "config": self.config.as_dict(),
            "num_classes": self.graph.num_classes,
            "metric": self.graph.metric,
            "test_score": result["test_score"],
            "valid_score": result["valid_score"],
            "seed": result["seed"],
        }
        packed = PackedEmbedding(table, encoder.composer)
        packed.save(path, gnn=trainer.best["gnn"], metadata=metadata)

    def _propagate(self) -> dict[str, Any]:
        """Label propagation, its alpha chosen on validation."""
        graph, begun = self.graph, time.perf_counter()
        best: dict[str, Any] = {"valid_score": -1.0}
        for alpha in ALPHAS:
            scores = LabelPropagation(alpha)(
                graph.adj, graph.y, graph.train_idx, graph.num_classes
            )
            if graph.multi_label:
                scores = scores - 0.5  # the threshold of a probability, as a logit
            valid = score(scores[graph.valid_idx], graph.y[graph.valid_idx])
            if valid > best["valid_score"]:
                test = score(scores[graph.test_idx], graph.y[graph.test_idx])
                best = {"valid_score": valid, "test_score": test}
        return best | {
            "epochs": 1,
            "seconds": time.perf_counter() - begun,
            "inference_bytes": 0,
            "training_bytes": 0,
            "peak_rss_bytes": peak_rss_bytes(),
        }

    def _result(self, seeds: list[dict[str, Any]]) -> MethodResult:
        epochs = tuple(seed["epochs"] for seed in seeds)
        return MethodResult(
            graph=self.graph,
            config=self.config,
            test_scores=tuple(seed["test_score"] for seed in seeds),
            valid_scores=tuple(seed["valid_score"] for seed in seeds),
            inference_bytes=seeds[0]["inference_bytes"],
            training_bytes=seeds[0]["training_bytes"],
            peak_rss_bytes=max(seed["peak_rss_bytes"] for seed in seeds),
            seconds_per_epoch=sum(seed["seconds"] for seed in seeds) / sum(epochs),
            epochs=epochs,
        )


class _CheckpointClock:
    """Due when the interval has passed, and writing stays below a tenth of the time."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last >= self.interval

    def time(self, write: Callable[[], None]) -> None:
        begun = time.monotonic()
        write()
        self.last = time.monotonic()
        self.interval = max(self.interval, 9 * (self.last - begun))
