"""Refinement: validation keeps a re-assignment of codes, or takes it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.coders import RefinedCoder
from kdgraph.data import Graph
from kdgraph.training import Runner, TrainConfig, Trainer
from kdgraph.training.classifier import NodeClassifier
from kdgraph.training.gradient_window import GradientWindow
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.ranks import Ranks
from kdgraph.training.refinement import Refinement

MakeConfig = Callable[..., TrainConfig]


def make_model(make_config: MakeConfig, coder: str | RefinedCoder) -> NodeClassifier:
    encoder = KDEmbedding(
        40, 8, num_codebooks=4, codebook_size=3, coder=coder, composer="sum"
    )
    return NodeClassifier(encoder, build_gnn(make_config(), 2), [])


def snapshot(model: NodeClassifier) -> dict[str, Any]:
    encoder = model.encoder
    assert isinstance(encoder, KDEmbedding)
    states = {"trained": encoder.composer, "gnn": model.gnn}
    kept: dict[str, Any] = {
        name: {key: value.clone() for key, value in part.state_dict().items()}
        for name, part in states.items()
    }
    return kept | {"packed": encoder.code_table().packed.clone()}


def disturb(model: NodeClassifier) -> None:
    """What a re-assignment and the epochs after it do."""
    encoder = model.encoder
    assert isinstance(encoder, KDEmbedding)
    assert isinstance(encoder.coder, RefinedCoder)
    encoder.coder.restore(encoder.code_table().packed.flip(0))
    with torch.no_grad():
        for parameter in (*encoder.composer.parameters(), *model.gnn.parameters()):
            parameter.add_(1.0)


def same(one: dict[str, Any], other: dict[str, Any]) -> list[bool]:
    """Whether packed codes, codebooks and network are equal."""
    found = [torch.equal(one["packed"], other["packed"])]
    for name in ("trained", "gnn"):
        pairs = [(value, other[name][key]) for key, value in one[name].items()]
        found.append(all(torch.equal(*pair) for pair in pairs))
    return found


def begun(make_config: MakeConfig, best_valid: float) -> tuple[Any, Any, Any, Any]:
    """A re-assignment in epoch 4, when validation stood at ``best_valid``."""
    coder = RefinedCoder("random", every=3, start=4, stop=20)
    model = make_model(make_config, coder)
    refinement = Refinement(model, Optimizers(make_config(), model))
    for epoch in range(4):
        refinement.before_step(epoch, best_valid)
        assert refinement.mark is None
        coder.after_epoch(epoch, model.encoder.composer)  # type: ignore[union-attr]
    assert coder.armed
    refinement.before_step(4, best_valid)
    best = snapshot(model)
    disturb(model)
    return model, coder, refinement, best


def test_what_does_not_pay_is_taken_back(make_config: MakeConfig) -> None:
    model, coder, refinement, best = begun(make_config, 0.5)
    assert same(snapshot(model), best) == [False, False, False]
    for epoch in (5, 6):
        assert not refinement.judge(epoch, 0.5, best)
        assert not coder.halted
    # Equal is not better.
    assert refinement.judge(7, 0.5, best)
    assert same(snapshot(model), best) == [True, True, True]
    assert coder.halted
    assert not coder.armed
    for epoch in range(7, 20):
        coder.after_epoch(epoch, model.encoder.composer)
        refinement.before_step(epoch, 0.5)
        assert not coder.armed
        assert not refinement.judge(epoch + 1, 0.5, {})


def test_what_pays_is_kept_and_the_next_is_judged_anew(
    make_config: MakeConfig,
) -> None:
    model, coder, refinement, best = begun(make_config, 0.5)
    assert not refinement.judge(7, 0.6, best)
    assert same(snapshot(model), best) == [False, False, False]
    assert not coder.halted
    for epoch in (4, 5, 6):
        coder.after_epoch(epoch, model.encoder.composer)
    assert coder.armed
    refinement.before_step(7, 0.6)
    # A score that was enough before is not any more.
    assert not refinement.judge(9, 0.6, best)
    assert refinement.judge(10, 0.6, best)
    assert same(snapshot(model), best) == [True, True, True]


@pytest.mark.parametrize("coder", ["softmax", "fixed"])
def test_other_coders_are_left_alone(make_config: MakeConfig, coder: str) -> None:
    model = make_model(make_config, coder)
    refinement = Refinement(model, Optimizers(make_config(), model))
    for epoch in range(60):
        refinement.before_step(epoch, 0.5)
        assert not refinement.judge(epoch + 1, 0.5, {})
    assert refinement.mark is None


def refined(make_config: MakeConfig, **changes: Any) -> TrainConfig:
    """Codes re-assigned in epochs 15, 19, ... and so on."""
    values = {"coder": "refined", "composer": "sum", "refine_every": 4, "epochs": 30}
    return make_config(**(values | changes))


def test_a_run_goes_on_where_a_re_assignment_waits_for_its_verdict(
    graph: Graph, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = refined(make_config)
    whole = Runner(graph, config).run(1).seeds[0]
    # The codes are taken back, so that stopping in between could be seen.
    assert len(whole.reverted) == 1
    verdict = whole.reverted[0]
    for stop in (verdict - 3, verdict - 1, verdict, verdict + 2):
        marks: list[Any] = []

        def interrupt(
            _: int, __: str, trainer: Trainer, stop: int = stop, seen: Any = marks
        ) -> None:
            if trainer.progress.epoch == stop:
                seen.append(trainer.refinement.mark)
                raise KeyboardInterrupt

        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            Runner(graph, config, save=folder).run(1, interrupt)
        assert (marks[0] is not None) == (stop < verdict)
        again = Runner(graph, config, save=folder).run(1).seeds[0]
        assert again.reverted == whole.reverted
        assert again.losses == whole.losses
        assert again.test_score == whole.test_score


def test_codes_that_were_taken_back_are_those_of_the_best_epoch(
    graph: Graph, make_config: MakeConfig
) -> None:
    seen: list[tuple[int, bool]] = []

    def watch(_: int, __: str, trainer: Trainer) -> None:
        packed = trainer.model.encoder.code_table().packed  # type: ignore[union-attr]
        equal = torch.equal(packed, trainer.best["packed"])
        seen.append((trainer.progress.epoch, equal))

    reverted = Runner(graph, refined(make_config)).run(1, watch).seeds[0].reverted
    equal = dict(seen)
    assert not equal[reverted[0] - 1]
    assert equal[reverted[0]]


def test_the_optimizer_goes_back_with_what_it_moves(
    graph: Graph, make_config: MakeConfig
) -> None:
    """Steps and moments of codebooks and network are those of the best epoch."""
    seen: dict[int, list[Any]] = {}
    best: list[int] = []

    def watch(_: int, __: str, trainer: Trainer) -> None:
        model, states = trainer.model, trainer.optimizer.each[0].state
        encoder = model.encoder
        assert isinstance(encoder, KDEmbedding)
        moved = [*encoder.composer.parameters(), *model.gnn.parameters()]
        kept = [value.clone() for one in moved for value in states[one].values()]
        seen[trainer.progress.epoch] = kept
        best.append(trainer.progress.best_epoch + 1)

    reverted = Runner(graph, refined(make_config)).run(1, watch).seeds[0].reverted[0]
    back, away = seen[reverted], seen[reverted - 1]
    wanted = seen[best[reverted - 1]]
    assert len(back) == len(wanted) >= 3 * 3
    assert all(torch.equal(*pair) for pair in zip(back, wanted, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(back, away, strict=True))


def test_nothing_is_taken_back_before_anything_is_re_assigned(
    graph: Graph, make_config: MakeConfig
) -> None:
    result = Runner(graph, refined(make_config, epochs=15)).run(1)
    assert result.seeds[0].reverted == []


class TestMiniBatches:
    """Gradients are summed over steps, and codes re-chosen when a range is due."""

    @pytest.fixture
    def trainer(self, graph: Graph, make_config: MakeConfig) -> Trainer:
        """Epoch 0 re-assigns ranges of 8 nodes in 3 steps, epoch 1 the others."""
        config = make_config(batching="neighbor", dropout=0.0, input_dropout=0.0)
        coder = RefinedCoder("random", every=1, start=0, stop=3, share=1.0, step=2.0)
        model = make_model(make_config, coder)
        batches = NeighborBatches(
            graph, model, batch_size=5, fanout=(3, 2), network="gcn"
        )
        trainer = Trainer(config, graph, model, batches, torch.device("cpu"))
        window = GradientWindow(40, 8, steps=3, memory=8 * 8 * 4)
        trainer.refinement.window, coder.collect = window, window.add
        return trainer

    def test_codes_change_for_nodes_that_had_their_turn(self, trainer: Trainer) -> None:
        encoder, window = trainer.model.encoder, trainer.refinement.window
        assert isinstance(encoder, KDEmbedding)
        assert window is not None
        before = encoder.codes()
        changed: list[set[int]] = []
        starts: list[int] = []
        reached: set[int] = set()

        def look(trainer: Trainer) -> None:
            nonlocal before
            after = encoder.codes()
            changed.append(set((after != before).any(1).nonzero().flatten().tolist()))
            starts.append(window.start)
            before = after

        batch = trainer.batching.batch

        def watched(epoch: int, step: int) -> Any:
            found = batch(epoch, step)
            reached.clear()
            reached.update(found.n_id.tolist())  # type: ignore[union-attr]
            return found

        trainer.batching.batch = watched  # type: ignore[method-assign]
        for epoch, turns in enumerate([[0, 8, 16], [24, 32, 0]]):
            for step, start in enumerate(turns):
                trainer._step(trainer.batching.batch(epoch, step))
                look(trainer)
                trainer.progress.step += 1
                assert starts[-1] == start
                assert changed[-1] <= set(range(start, start + 8)) & reached
            trainer.progress.step = 0
            trainer.progress.epoch += 1
            encoder.coder.after_epoch(epoch, encoder.composer)
        assert sum(map(bool, changed)) >= 4

    def test_a_turn_of_several_steps_ends_with_the_last(self, trainer: Trainer) -> None:
        """All nodes at once: their codes stay until the epoch is through."""
        encoder = trainer.model.encoder
        assert isinstance(encoder, KDEmbedding)
        assert isinstance(encoder.coder, RefinedCoder)
        window = GradientWindow(40, 8, steps=3)
        trainer.refinement.window, encoder.coder.collect = window, window.add
        first, seen = encoder.codes(), set()
        for step in range(3):
            assert torch.equal(encoder.codes(), first)
            batch = trainer.batching.batch(0, step)
            seen |= set(batch.n_id.tolist())  # type: ignore[union-attr]
            trainer._step(batch)
            trainer.progress.step += 1
        moved = (encoder.codes() != first).any(1).nonzero().flatten().tolist()
        assert moved
        assert set(moved) <= seen
        summed = window.sums.any(1).nonzero().flatten().tolist()
        assert set(moved) <= set(summed) <= seen

    def test_parts_of_processes_are_together_the_whole(
        self, make_config: MakeConfig
    ) -> None:
        found = []
        gradient = torch.randn(40, 8)
        for rank, size in ((0, 1), (0, 3), (1, 3), (2, 3)):
            torch.manual_seed(0)
            coder = RefinedCoder("random", every=1, start=0, share=0.5, step=2.0)
            model = make_model(make_config, coder)
            adam = Optimizers(make_config(), model)
            refinement = Refinement(model, adam, 1, _Apart(rank, size))
            refinement.before_step(0, 0.5)
            assert coder.collect is not None
            coder.collect(torch.arange(40), gradient)
            torch.manual_seed(1)
            before = coder.packed.clone()
            refinement.after_step(0)
            found.append((before, coder.packed.clone()))
        (before, whole), *parts = found
        assert not torch.equal(before, whole)
        for rank, (start, packed) in enumerate(parts):
            assert torch.equal(start, before)
            own = _Apart(rank, 3).part(40)
            assert torch.equal(packed[own], whole[own])
            rest = torch.ones(40, dtype=torch.bool)
            rest[own] = False
            assert torch.equal(packed[rest], before[rest])


class _Apart(Ranks):
    """A process that keeps its part to itself, of sums that all have."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank, self.size = rank, size

    def total(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def fill(self, rows: torch.Tensor) -> torch.Tensor:
        return rows
