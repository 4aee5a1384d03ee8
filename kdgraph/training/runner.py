"""Runner: a method over seeds, trained or gone on with."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.codes.place_map import map_bytes
from kdgraph.data import Graph
from kdgraph.training import choices
from kdgraph.training.auto import Pick, pick
from kdgraph.training.choices import auto_choices
from kdgraph.training.classifier import message_graph
from kdgraph.training.config import TrainConfig
from kdgraph.training.job import Job, OnCoding, OnEpoch
from kdgraph.training.methods import check_sizes, needs_map
from kdgraph.training.metric import Metric
from kdgraph.training.peak_memory import reset_peak_rss
from kdgraph.training.propagation import propagate_labels
from kdgraph.training.ranks import Ranks
from kdgraph.training.read_before import ReadBefore
from kdgraph.training.read_graph import read_codes
from kdgraph.training.recipes import name_model, resolve_config
from kdgraph.training.result import MethodResult
from kdgraph.training.run_dir import RunDir
from kdgraph.training.seed_result import SeedResult
from kdgraph.training.seed_run import SeedRun


class Hooks(NamedTuple):
    """Who is told of what while a run goes on."""

    on_epoch: OnEpoch | None
    on_coding: OnCoding | None
    on_step: OnEpoch | None
    on_pick: Callable[[Pick], None] | None


class Runner:
    """Train one method on one graph, seed by seed.

    Args:
        graph: Where to train.
        config: What to train; what it leaves open the recipe fills in.
        save: Folder for checkpoints, results and models, or ``None``.
        device: Where to run. (default: the CPU)
        checkpoint_seconds: Least time between checkpoints; 0 for every epoch.
            (default: ``15``)

    Raises:
        ValueError: Sizes that do not fit; nothing has been trained or written then.
    """

    def __init__(
        self,
        graph: Graph,
        config: TrainConfig,
        *,
        save: str | Path | None = None,
        device: torch.device | None = None,
        checkpoint_seconds: float = 15.0,
    ) -> None:
        if not 0.0 <= checkpoint_seconds < math.inf:
            raise ValueError(
                f"checkpoint_seconds is at least 0, got {checkpoint_seconds}"
            )
        self.graph = graph
        # Named at once: it is part of what a run folder holds.
        self.given = config = name_model(config, graph)
        self.pick: Pick | None = None
        self._adjacency: Tensor | None = None
        self._read_before = ReadBefore()
        self.config = config
        if config.method == "kd" and config.coder == "auto":
            # The first is as good as any until they are tried.
            self.config = auto_choices(config, graph)[0][0].config
        else:
            self.config = resolve_config(config, graph)
        check_sizes(self.config, graph)
        self.save = None if save is None else Path(save)
        self.device = device or torch.device("cpu")
        self.ranks = Ranks()
        self.checkpoint_seconds = checkpoint_seconds

    def run(
        self,
        seeds: int,
        on_epoch: OnEpoch | None = None,
        *,
        on_coding: OnCoding | None = None,
        on_step: OnEpoch | None = None,
        on_pick: Callable[[Pick], None] | None = None,
    ) -> MethodResult:
        """Train seeds 0 to ``seeds - 1``, skipping what the folder has finished.

        An ``on_epoch`` that raises ``KeyboardInterrupt`` stops the run; the folder then
        holds a checkpoint of that epoch.

        Args:
            seeds: How many; a folder may be given more of them later.
            on_epoch: Called after every epoch with the seed, the stage and the trainer.
            on_coding: Called while codes are read off the graph, with the seed, the
                fraction done and the stage.
            on_step: Called between the steps of an epoch, as ``on_epoch`` is after it.
            on_pick: Called with what coder ``"auto"`` picked, before it is trained.

        Raises:
            ValueError: A folder that is not this run's, or damaged.
            OSError: A folder that cannot be written.
            FloatingPointError: A loss or a score that is not finite.
        """
        if seeds < 1:
            raise ValueError(f"seeds is at least 1, got {seeds}")
        reset_peak_rss()
        hooks = Hooks(on_epoch, on_coding, on_step, on_pick)
        if self.save is None or not self.ranks.first:
            return self._run(seeds, hooks, None)
        config = self.given if self._automatic else self.config
        identity = {
            "config": config.as_dict(),
            "graph": {"name": self.graph.name, "fingerprint": self.graph.fingerprint()},
        }
        with RunDir(self.save, identity) as run_dir:
            return self._run(seeds, hooks, run_dir)

    @property
    def _automatic(self) -> bool:
        return self.given.method == "kd" and self.given.coder == "auto"

    def _pick(self, hooks: Hooks, run_dir: RunDir | None) -> None:
        """Settle what coder ``"auto"`` is, once for a run folder."""
        found = self.ranks.told(None if run_dir is None else run_dir.pick())
        if found is None:
            found = pick(
                self.given,
                self.graph,
                partial(self._try, hooks),
                partial(self._read, hooks, run_dir),
            )
            if run_dir is not None:
                run_dir.keep_pick(found)
        self.pick, self.config = found, found.config
        if hooks.on_pick is not None:
            hooks.on_pick(found)

    def _try(self, hooks: Hooks, config: TrainConfig, seed: int) -> float:
        """The validation score of a configuration, trained without a folder."""
        self.config = config
        return SeedRun(self._job(hooks, None), seed).run().valid_score

    def _read(self, hooks: Hooks, run_dir: RunDir | None, config: TrainConfig) -> None:
        """Read codes; of a graph where that takes long, the folder keeps them."""
        self.config = config
        large = self.graph.num_edges > choices.TRY_BELOW
        read_codes(self._job(hooks, run_dir if large else None), 0)

    def _run(self, seeds: int, hooks: Hooks, run_dir: RunDir | None) -> MethodResult:
        if self._automatic:
            self._pick(hooks, run_dir)
        if self.config.method == "labelprop":
            result = propagate_labels(
                self.graph, Metric(self.config.metric or self.graph.metric)
            )
            if run_dir is not None:
                run_dir.finish(result)
            return MethodResult(self.graph, self.config, (result,))
        job: Job | None = None
        results: list[SeedResult] = []
        for seed in range(seeds):
            done = None if run_dir is None else run_dir.result(seed)
            done = self.ranks.told(done)
            if done is not None:
                done = done.counting(self._map_bytes)
            if done is None:
                # The adjacency is not needed where all seeds are finished.
                job = job or self._job(hooks, run_dir)
                done = SeedRun(job, seed).run()
            results.append(done)
        return MethodResult(self.graph, self.config, tuple(results), self.pick)

    @property
    def _map_bytes(self) -> int:
        """Bytes of a map from ids to places, where the method needs an order."""
        return (
            map_bytes(self.graph.num_nodes) if needs_map(self.config, self.graph) else 0
        )

    def _job(self, hooks: Hooks, run_dir: RunDir | None) -> Job:
        full = self.config.batching == "full"
        if self._adjacency is None and full:
            self._adjacency = message_graph(self.config.model, self.graph, self.device)
        return Job(
            graph=self.graph,
            config=self.config,
            # What auto tries may fit the machine whole, or may not.
            adjacency=self._adjacency if full else None,
            device=self.device,
            run_dir=run_dir,
            checkpoint_seconds=self.checkpoint_seconds,
            on_epoch=hooks.on_epoch,
            on_coding=hooks.on_coding,
            on_step=hooks.on_step,
            ranks=self.ranks,
            read=self._read_before,
        )
