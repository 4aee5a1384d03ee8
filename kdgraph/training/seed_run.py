"""SeedRun: one seed of one method, from wherever its folder stands to its result."""

from typing import Any

import torch
from torch import Tensor

from kdgraph.codes import clusters_of
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.guidance import ClassTargets, Guidance
from kdgraph.training.batching import Batching
from kdgraph.training.checkpoint_clock import CheckpointClock
from kdgraph.training.choose_batching import fits_at_once
from kdgraph.training.class_scores import diffused_scores, propagated_scores
from kdgraph.training.classifier import NodeClassifier, message_graph
from kdgraph.training.cluster_batches import ClusterBatches
from kdgraph.training.config import TrainConfig
from kdgraph.training.full_batch import FullBatch
from kdgraph.training.job import Job, OnEpoch
from kdgraph.training.label_head import spread_head
from kdgraph.training.loop import Trainer
from kdgraph.training.methods import (
    build_encoder,
    build_guidance,
    teacher_config,
    training_bytes,
)
from kdgraph.training.model_file import save_classifier
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn
from kdgraph.training.peak_memory import peak_rss_bytes
from kdgraph.training.read_graph import read_graph
from kdgraph.training.rivals import RIVALS
from kdgraph.training.run_dir import artifact_path
from kdgraph.training.seed_result import SeedResult

TEACHER, STUDENT = "teacher", "student"


class SeedRun:
    """Train one seed, or go on with it.

    Args:
        job: What all seeds share.
        seed: Which.
    """

    def __init__(self, job: Job, seed: int) -> None:
        self.job = job
        self.seed = seed
        self.graph, self.adjacency = job.graph, job.adjacency
        self.reading, self.coding_seconds = read_graph(job, seed)
        if self.reading.rows is not None:
            self._reorder(self.reading.rows)
        self.earlier_peak = 0
        self.clock = CheckpointClock(job.checkpoint_seconds)

    def run(self) -> SeedResult:
        """Train to the end, and leave result and model in the folder.

        Raises:
            ValueError: A checkpoint that cannot be gone on from.
            FloatingPointError: A loss or a score that is not finite.
        """
        job, saved = self.job, None
        if job.run_dir is not None:
            saved = job.run_dir.load(self.seed)
        saved = job.ranks.told(saved)
        teacher, targets = None, None
        if job.config.guidance == "pretrained":
            teacher = self._teacher(saved)
        elif job.config.guidance in ("labelprop", "diffusion"):
            targets = self._targets(job.config, saved)
        torch.manual_seed(self.seed)
        encoder = self._encoder(job.config)
        guides = build_guidance(job.config, encoder, teacher)
        trainer = self._trainer(job.config, encoder, guides, targets)
        self._train(trainer, STUDENT, saved)
        result = self._result(trainer, encoder, guides, targets)
        if job.run_dir is not None:
            # The result goes last: where it is, everything is.
            if isinstance(encoder, KDEmbedding):
                path = artifact_path(job.run_dir.path, self.seed)
                save_classifier(
                    path,
                    encoder=encoder,
                    best=trainer.best,
                    graph=job.graph,
                    config=job.config,
                    result=result,
                    rows=self.reading.rows,
                )
            job.run_dir.finish(result)
        return result

    def _reorder(self, rows: Tensor) -> None:
        """Train the nodes in the order that implies codes: no map is read then."""
        job = self.job
        self.reading = self.reading.in_order()
        self.graph = job.graph.permuted(rows.numpy())
        if self.adjacency is not None:
            self.adjacency = message_graph(job.config.model, self.graph, job.device)

    def _teacher(self, saved: dict[str, Any] | None) -> Encoder:
        """The table that pre-trained guidance pulls toward, trained the same way.

        The student's checkpoint holds the teacher, which then is only built.
        """
        config = teacher_config(self.job.config)
        torch.manual_seed(self.seed)
        teacher = self._encoder(config)
        if saved is None or saved.get("stage") == TEACHER:
            trainer = self._trainer(config, teacher, [], None)
            self._train(trainer, TEACHER, saved)
            teacher.load_state_dict(trainer.best["encoder"])
        return teacher

    def _targets(
        self, config: TrainConfig, saved: dict[str, Any] | None
    ) -> ClassTargets:
        """Classes that labels, or a first training's own scores, spread to all nodes.

        The student's checkpoint holds them, so that they then are only built.
        """
        graph, weight = self.graph, config.guidance_weight or 0.0
        if saved is not None and saved.get("stage") == STUDENT:
            empty = torch.zeros(graph.num_nodes, graph.num_classes)
            return ClassTargets.from_scores(empty, weight=weight)
        if config.guidance == "labelprop":
            found = propagated_scores(graph)
            return ClassTargets.from_scores(found.scores, weight=weight)
        config = teacher_config(config)
        targets = self._targets(config, None)
        torch.manual_seed(self.seed)
        trainer = self._trainer(config, self._encoder(config), [], targets)
        self._train(trainer, TEACHER, saved)
        own = trainer.best_scores().cpu().softmax(dim=1)
        found = diffused_scores(graph, own)
        return ClassTargets.from_scores(found.scores, weight=weight)

    def _encoder(self, config: TrainConfig) -> Encoder:
        return build_encoder(config, self.graph.num_nodes, self.reading)

    def _trainer(
        self,
        config: TrainConfig,
        encoder: Encoder,
        guides: list[Guidance],
        targets: ClassTargets | None,
    ) -> Trainer:
        gnn = build_gnn(config, self.graph.num_classes)
        dropout = config.input_dropout or 0.0
        model = NodeClassifier(encoder, gnn, guides, dropout, targets)
        batching = self._batching(config, model)
        job = self.job
        return Trainer(config, self.graph, model, batching, job.device, job.ranks)

    def _batching(self, config: TrainConfig, model: NodeClassifier) -> Batching:
        job = self.job
        if self.adjacency is not None:
            return FullBatch(self.graph, model, self.adjacency, job.device)
        options: dict[str, Any] = {
            "network": config.model,
            "batch_size": config.batch_size or 1,
            "seed": self.seed,
            "memory": config.memory,
            "ranks": job.ranks,
            "device": job.device,
        }
        if config.batching == "neighbor":
            fanout = config.fanout or ()
            return NeighborBatches(self.graph, model, fanout=fanout, **options)
        layers = config.num_layers or 1
        if self.reading.codes is None:  # never: choose_batching asks for them
            raise RuntimeError("SeedRun cuts a graph into clusters without codes")
        clusters = clusters_of(self.reading.codes)
        return ClusterBatches(
            self.graph, model, clusters=clusters, num_layers=layers, **options
        )

    def _train(
        self, trainer: Trainer, stage: str, saved: dict[str, Any] | None
    ) -> None:
        if saved is not None and saved.get("stage") == stage:
            self._go_on(trainer, saved)

        def after_epoch(trainer: Trainer) -> None:
            self._pause(trainer, stage, self.job.on_epoch)

        def after_step(trainer: Trainer) -> None:
            self._pause(trainer, stage, self.job.on_step)

        trainer.run(after_epoch, after_step)

    def _pause(self, trainer: Trainer, stage: str, tell: OnEpoch | None) -> None:
        """Between steps: tell, keep the state where that is due, and stop if told to.

        Processes that train together stop together.
        """
        stop: KeyboardInterrupt | None = None
        try:
            if tell is not None:
                tell(self.seed, stage, trainer)
        except KeyboardInterrupt as error:
            stop = error
        if self.job.ranks.any(here=stop is not None):
            self._save(trainer, stage)
            raise stop or KeyboardInterrupt
        if self.job.run_dir is not None and self.clock.due():
            self.clock.time(lambda: self._save(trainer, stage))

    def _go_on(self, trainer: Trainer, saved: dict[str, Any]) -> None:
        try:
            # Popped, so that its tensors do not stay in memory beside the trained ones.
            trainer.load_state_dict(saved.pop("trainer"))
            self.earlier_peak = saved["peak_rss_bytes"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"the checkpoint of seed {self.seed} is of another version of kdgraph; "
                "remove it to start this seed again"
            ) from error

    def _save(self, trainer: Trainer, stage: str) -> None:
        if self.job.run_dir is None:
            return
        state = {
            "stage": stage,
            "trainer": trainer.state_dict(),
            "peak_rss_bytes": max(self.earlier_peak, peak_rss_bytes()),
        }
        self.job.run_dir.save(self.seed, state)

    def _result(
        self,
        trainer: Trainer,
        encoder: Encoder,
        guides: list[Guidance],
        targets: ClassTargets | None,
    ) -> SeedResult:
        job, progress = self.job, trainer.progress
        trained = training_bytes(job.config, encoder, guides, targets)
        valid_score, test_score = progress.best_valid, progress.best_test
        threshold = progress.threshold
        kept, rival = encoder, RIVALS.get(job.config.method)
        best = trainer.best_encoder()
        if rival is not None and rival.finish is not None:
            kept = best = rival.finish(job.config, best, self.seed).to(job.device)
            valid_score, test_score, threshold = trainer.scores_of(best)
        head = None
        # All processes score the nodes for it, on whatever machine they are.
        if job.ranks.told(fits_at_once(job.config, self.graph)):
            scores = trainer.batching.scores(None, best).cpu()
            head = spread_head(self.graph, scores, trainer.metric).as_dict()
            if rival is not None and rival.head is not None:
                found = rival.head(self.graph, scores)
                valid_score, test_score = found.valid_score, found.test_score
        in_order = kept.inference_bytes()
        return SeedResult(
            seed=self.seed,
            test_score=test_score,
            valid_score=valid_score,
            best_epoch=progress.best_epoch,
            epochs=progress.epoch,
            seconds=progress.seconds,
            inference_bytes=in_order + self.reading.map_bytes,
            inference_bytes_in_order=in_order,
            training_bytes=trained,
            peak_rss_bytes=max(self.earlier_peak, peak_rss_bytes()),
            losses=progress.losses,
            valid_scores=progress.valid_scores,
            coding_seconds=self.coding_seconds,
            reverted=progress.reverted,
            label_head=head,
            processes=job.ranks.size,
            bytes_per_step=progress.sent / max(1, progress.steps),
            threshold=threshold,
            scored_epochs=None
            if job.config.eval_every == 1
            else progress.scored_epochs,
        )
