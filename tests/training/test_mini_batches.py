"""Training in mini-batches: the steps, where they go on, and what leaves no trace."""

from __future__ import annotations

import gc
import io
import itertools
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from kdgraph.data import Graph
from kdgraph.guidance import ClassTargets
from kdgraph.training import NodeClassifier, Runner, TrainConfig, Trainer, message_graph
from kdgraph.training.batching import Batching
from kdgraph.training.checkpoint import load_checkpoint
from kdgraph.training.cluster_batches import ClusterBatches
from kdgraph.training.full_batch import FullBatch
from kdgraph.training.methods import build_encoder, build_guidance
from kdgraph.training.metrics import accuracy, classification_loss
from kdgraph.training.mini_batches import mixed
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn

MakeConfig = Callable[..., TrainConfig]
CPU = torch.device("cpu")
CALM = {
    "dropout": 0.0,
    "input_dropout": 0.0,
    "norm": "layer_norm",
    "guidance": "none",
    "weight_decay": 0.0,
    "coder_weight_decay": 0.0,
}
"""Nothing is random, and nothing is of a batch but its nodes."""


def make_trainer(graph: Graph, config: TrainConfig, seed: int = 0) -> Trainer:
    """As a run of seed 0 has it; ``seed`` is of the parameters alone."""
    torch.manual_seed(seed)
    encoder = build_encoder(config, graph.num_nodes)
    guides, targets = [], None
    if config.guidance == "labelprop":
        scores = torch.rand(graph.num_nodes, 2, generator=torch.Generator())
        targets = ClassTargets.from_scores(scores)
    else:
        guides = build_guidance(config, encoder)
    gnn = build_gnn(config, graph.num_classes)
    model = NodeClassifier(encoder, gnn, guides, config.input_dropout or 0.0, targets)
    batching: Batching
    if config.batching == "full":
        batching = FullBatch(graph, model, message_graph(config.model, graph), CPU)
    elif config.batching == "cluster":
        batching = ClusterBatches(
            graph,
            model,
            clusters=torch.arange(40) % 5,
            batch_size=config.batch_size or 16,
            num_layers=2,
            network=config.model,
        )
    else:
        batching = NeighborBatches(
            graph,
            model,
            batch_size=config.batch_size or 5,
            fanout=config.fanout or (3, 2),
            network=config.model,
        )
    return Trainer(config, graph, model, batching, CPU)


def test_the_loss_of_an_epoch_is_the_mean_over_training_nodes(
    graph: Graph, make_config: MakeConfig
) -> None:
    """Of batches of 5, 5 and 2, at a rate at which nothing moves."""
    config = make_config(
        batching="neighbor", fanout=(-1, -1), coder="fixed", lr=1e-12, epochs=2, **CALM
    )
    trainer = make_trainer(graph, config)
    logits = trainer.batching.scores()
    rows = graph.train_idx
    wanted = functional.cross_entropy(logits[rows], graph.y[rows]).item()
    seen: list[tuple[float, float]] = []
    trainer.run(
        after_step=lambda one: seen.append((one.progress.loss, one.progress.share))
    )
    assert trainer.progress.losses == pytest.approx([wanted] * 2, rel=1e-5)
    assert [share for _, share in seen] == pytest.approx([5 / 12, 10 / 12] * 2)
    # What has been seen so far is the mean over some of them.
    order = trainer.batching._nodes(0, 0, 0)  # type: ignore[attr-defined]
    part = functional.cross_entropy(logits[order], graph.y[order]).item()
    assert seen[0][0] / seen[0][1] == pytest.approx(part, rel=1e-5)


@pytest.mark.parametrize("model", ["gcn", "sage"])
@pytest.mark.parametrize("coder", ["fixed", "softmax", "full"])
def test_a_batch_of_all_nodes_takes_the_steps_of_a_full_batch(
    graph: Graph, make_config: MakeConfig, model: str, coder: str
) -> None:
    method = {"method": "full"} if coder == "full" else {"coder": coder}
    both = [
        make_config(model=model, epochs=4, batching=kind, **more, **method, **CALM)
        for kind, more in (
            ("full", {}),
            ("neighbor", {"batch_size": 12, "fanout": (-1, -1)}),
        )
    ]
    full, mini = (make_trainer(graph, config) for config in both)
    ends: list[dict[str, torch.Tensor]] = []
    for trainer in (full, mini):
        kept: dict[str, torch.Tensor] = {}
        # At the end the network goes back to its best epoch.
        trainer.run(lambda one, kept=kept: kept.update(copied(one.model)))
        ends.append(kept)
    assert mini.progress.steps == full.progress.steps == 4
    assert mini.progress.losses == pytest.approx(full.progress.losses, rel=1e-4)
    assert mini.progress.valid_scores == full.progress.valid_scores
    assert mini.progress.best_test == full.progress.best_test
    # Rows are moved by SparseAdam, whose small number beside the root is another.
    apart = {id(parameter) for parameter in mini.optimizer.rows}
    rows = {name for name, p in mini.model.named_parameters() if id(p) in apart}
    assert len(rows) == (coder != "fixed")
    one, other = ends
    for name, parameter in one.items():
        loose = 1e-3 if name in rows else 1e-4
        torch.testing.assert_close(
            other[name],
            parameter,
            rtol=loose,
            atol=loose,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    if coder == "softmax":
        codes = [trainer.model.encoder.codes() for trainer in (full, mini)]
        assert torch.equal(*codes)


def copied(model: NodeClassifier) -> dict[str, torch.Tensor]:
    """What is trained, as it stands."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("rows", [None, torch.tensor([3, 39, 3, 0])])
def test_scores_are_those_of_a_full_batch(
    graph: Graph, make_config: MakeConfig, rows: torch.Tensor | None
) -> None:
    full, mini = (
        make_trainer(graph, make_config(batching=kind, norm="layer_norm"))
        for kind in ("full", "neighbor")
    )
    wanted = full.batching.scores(rows)
    torch.testing.assert_close(mini.batching.scores(rows), wanted, rtol=1e-4, atol=1e-5)
    other = build_encoder(make_config(method="full"), 40)
    torch.testing.assert_close(
        mini.batching.scores(rows, other),
        full.batching.scores(rows, other),
        rtol=1e-4,
        atol=1e-5,
    )


# Of refined codes the first re-assignment is in epoch 3 and the next in epoch 5.
CHOICES: dict[str, dict[str, Any]] = {
    "fixed": {"coder": "fixed", "code_dropout": 0.3, "input_dropout": 0.0},
    "softmax": {},
    "gumbel": {"coder": "gumbel"},
    "vq": {"coder": "vq", "epochs": 12},
    "refined": {"coder": "refined", "composer": "sum", "epochs": 6},
    "full": {"method": "full"},
    "low rank": {"method": "lowrank", "rank": 2},
    "online": {"guidance": "online"},
    "classes": {"coder": "fixed", "guidance": "labelprop"},
    "batch norm": {"norm": "batch_norm", "model": "sage"},
    "gat": {"model": "gat", "coder": "fixed"},
    "clusters": {"batching": "cluster", "coder": "fixed"},
    "full over clusters": {"batching": "cluster", "method": "full"},
}


@pytest.mark.parametrize("name", CHOICES)
def test_state_goes_on_bit_for_bit_in_the_middle_of_an_epoch(
    graph: Graph, make_config: MakeConfig, name: str
) -> None:
    config = make_config(**({"batching": "neighbor"} | CHOICES[name]))
    whole = make_trainer(graph, config)
    last = (config.epochs or 0) - 1
    wanted = {(0, 1), (3, 1), (4, 0), (last, 2)}
    states: dict[tuple[int, int], io.BytesIO] = {}

    def keep(trainer: Trainer) -> None:
        place = trainer.progress.epoch, trainer.progress.step
        if place in wanted:
            states[place] = io.BytesIO()
            torch.save(trainer.state_dict(), states[place])

    whole.run(keep, keep)
    assert states.keys() == wanted
    if name == "refined":
        assert whole.model.encoder.coder.last_change > 0
    for place, buffer in states.items():
        buffer.seek(0)
        resumed = make_trainer(graph, config, seed=5)
        resumed.load_state_dict(torch.load(buffer, weights_only=True))
        assert (resumed.progress.epoch, resumed.progress.step) == place
        resumed.run()
        one, other = (asdict(trainer.progress) for trainer in (resumed, whole))
        for progress in (one, other):
            del progress["seconds"]
        assert one == other, place
        assert_equal(resumed.best, whole.best)
        assert_equal(resumed.state_dict()["model"], whole.state_dict()["model"])
        assert_equal(resumed.optimizer.state_dict(), whole.optimizer.state_dict())


def assert_equal(left: Any, right: Any) -> None:
    """Every tensor and number is equal."""
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list):
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        assert left == right


@pytest.mark.parametrize("name", ["fixed", "softmax", "refined", "batch norm", "full"])
def test_evaluation_leaves_no_trace_in_what_is_trained(
    graph: Graph, make_config: MakeConfig, name: str
) -> None:
    config = make_config(**({"batching": "neighbor"} | CHOICES[name]))
    plain, watched = (make_trainer(graph, config) for _ in range(2))
    plain.run()

    def look(trainer: Trainer) -> None:
        trainer.batching.scores()
        trainer.batching.scores(graph.test_idx)
        torch.rand(3)

    watched.run(look, look)
    assert watched.progress.losses == plain.progress.losses
    assert_equal(watched.state_dict()["model"], plain.state_dict()["model"])
    assert_equal(watched.optimizer.state_dict(), plain.optimizer.state_dict())


@pytest.mark.parametrize("method", ["kd", "full"])
def test_best_scores_are_those_of_the_best_epoch(
    graph: Graph, make_config: MakeConfig, method: str
) -> None:
    """Test nodes are scored once, at the end, as they would have been then."""
    config = make_config(batching="neighbor", method=method, epochs=15, lr=0.05)
    trainer = make_trainer(graph, config)
    seen: list[tuple[float, float]] = []

    def look(one: Trainer) -> None:
        assert one.progress.best_test == -1
        logits = one.batching.scores()
        seen.append(
            tuple(  # type: ignore[arg-type]
                accuracy(logits[idx], graph.y[idx])
                for idx in (graph.valid_idx, graph.test_idx)
            )
        )

    trainer.run(look)
    valid = [first for first, _ in seen]
    progress = trainer.progress
    assert progress.valid_scores == valid
    assert progress.best_epoch == valid.index(max(valid))
    assert (progress.best_valid, progress.best_test) == seen[progress.best_epoch]


def test_observers_see_every_step(graph: Graph, make_config: MakeConfig) -> None:
    trainer = make_trainer(graph, make_config(batching="neighbor", epochs=2))
    seen: list[tuple[str, int, int]] = []

    def watch(kind: str) -> Callable[[Trainer], None]:
        return lambda one: seen.append((kind, one.progress.epoch, one.progress.step))

    trainer.run(watch("epoch"), watch("step"))
    assert seen == [
        ("step", 0, 1),
        ("step", 0, 2),
        ("epoch", 1, 0),
        ("step", 1, 1),
        ("step", 1, 2),
        ("epoch", 2, 0),
    ]
    assert trainer.progress.steps == 6


def test_a_loss_that_is_not_finite_names_its_step_and_leaves_a_checkpoint(
    graph: Graph,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(batching="neighbor", batch_size=5, fanout=(3, 2))

    def run(folder: str) -> Any:
        save = tmp_path / folder
        return Runner(graph, config, save=save, checkpoint_seconds=0).run(1)

    def diverge(logits: torch.Tensor, y: torch.Tensor, _: None) -> torch.Tensor:
        losses.append(classification_loss(logits, y))
        return losses[-1] * (float("nan") if len(losses) > 7 else 1.0)

    losses: list[torch.Tensor] = []
    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.training.loop.classification_loss", diverge)
        with pytest.raises(
            FloatingPointError, match=r"loss is nan at step 1 of epoch 2; try a smal"
        ):
            run("run")
    state = load_checkpoint(tmp_path / "run" / "seed-0.checkpoint.pt")
    assert state is not None
    progress = state["trainer"]["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 1)
    assert run("run").seeds[0].losses == run("whole").seeds[0].losses


def test_threads_that_draw_end_with_their_batches(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainers = [
        make_trainer(graph, make_config(batching="neighbor", epochs=1))
        for _ in range(3)
    ]
    threads: list[threading.Thread] = []
    for trainer in trainers:
        trainer.run()
        threads += trainer.batching._pool._threads  # type: ignore[attr-defined]
    assert len(threads) == 3
    del trainer, trainers
    gc.collect()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_places_have_seeds_of_their_own() -> None:
    places = list(itertools.product(range(4), range(30), range(30), range(3)))
    seeds = {mixed(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 1 << 62 for seed in seeds)
    # Every bit is as often set as not.
    for bit in range(62):
        share = sum(seed >> bit & 1 for seed in seeds) / len(seeds)
        assert share == pytest.approx(0.5, abs=0.03), bit
