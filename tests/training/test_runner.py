"""Runner: seeds, results, and what validation chooses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.baselines import LabelPropagation
from kdgraph.data import Graph
from kdgraph.training import Runner, TrainConfig, Trainer, resolve_config
from kdgraph.training.checkpoint import load_checkpoint, save_checkpoint
from kdgraph.training.checkpoint_clock import CheckpointClock
from kdgraph.training.metrics import accuracy, classification_loss
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss
from kdgraph.training.propagation import ALPHAS
from kdgraph.training.result import summary

MakeConfig = Callable[..., TrainConfig]


def test_seeds_are_independent_of_what_ran_before(
    graph: Graph, make_config: MakeConfig
) -> None:
    both = Runner(graph, make_config()).run(2)
    torch.manual_seed(123)
    torch.rand(7)
    again = Runner(graph, make_config()).run(2)
    for one, other in zip(both.seeds, again.seeds, strict=True):
        assert one.losses == other.losses
    assert both.seeds[0].losses != both.seeds[1].losses


def test_saving_changes_nothing(
    graph: Graph, make_config: MakeConfig, tmp_path: Path
) -> None:
    plain = Runner(graph, make_config()).run(1)
    saving = Runner(
        graph, make_config(), save=tmp_path / "run", checkpoint_seconds=0
    ).run(1)
    assert plain.seeds[0].losses == saving.seeds[0].losses
    assert plain.test_scores == saving.test_scores


def test_finished_run_is_read_not_trained(
    graph: Graph, make_config: MakeConfig, tmp_path: Path
) -> None:
    first = Runner(graph, make_config(), save=tmp_path / "run").run(2)
    epochs: list[Any] = []
    again = Runner(graph, make_config(), save=tmp_path / "run").run(
        2, lambda *arguments: epochs.append(arguments)
    )
    assert again.seeds == first.seeds
    assert not epochs


def test_observer_sees_every_epoch_of_every_stage(
    graph: Graph, make_config: MakeConfig
) -> None:
    seen: list[tuple[int, str, int]] = []

    def watch(seed: int, stage: str, trainer: Trainer) -> None:
        seen.append((seed, stage, trainer.progress.epoch))

    Runner(graph, make_config(guidance="pretrained", epochs=2)).run(2, watch)
    assert seen == [
        (seed, stage, epoch)
        for seed in (0, 1)
        for stage in ("teacher", "student")
        for epoch in (1, 2)
    ]


def test_teacher_is_the_best_full_table(graph: Graph, make_config: MakeConfig) -> None:
    config = make_config(guidance="pretrained", epochs=6, lr=0.2)
    tables: dict[str, Any] = {}

    def watch(seed: int, stage: str, trainer: Trainer) -> None:
        if stage == "teacher":
            tables["best"] = trainer.best["encoder"]["weight"].clone()
            tables["losses"] = trainer.progress.losses
        else:
            tables["frozen"] = trainer.model.guidance[0].teacher.weight

    Runner(graph, config).run(1, watch)
    assert torch.equal(tables["best"], tables["frozen"])
    assert not tables["frozen"].requires_grad
    alone = Runner(graph, make_config(method="full", epochs=6, lr=0.2)).run(1)
    assert alone.seeds[0].losses == tables["losses"]


def test_bytes_are_the_encoders(graph: Graph, make_config: MakeConfig) -> None:
    result = Runner(graph, make_config(coder="vq")).run(1)
    encoder = KDEmbedding(40, 8, num_codebooks=4, codebook_size=3, coder="vq")
    assert result.inference_bytes == encoder.inference_bytes()
    assert result.training_bytes == encoder.training_bytes("adam")
    assert result.compression_ratio == 4 * 40 * 8 / encoder.inference_bytes()
    assert result.seconds_per_epoch == pytest.approx(result.seeds[0].seconds / 5)


def test_alpha_is_chosen_on_validation(
    make_graph: Callable[..., Graph], make_config: MakeConfig
) -> None:
    """Labels for which the best alpha differs between validation and test."""
    chosen = set()
    for draw in range(12):
        generator = torch.Generator().manual_seed(draw)
        graph = make_graph(y=torch.randint(2, (40,), generator=generator))
        pairs = []
        ways = {"normalization": "source", "clamp": True}
        for way, alpha in itertools.product(({}, ways), ALPHAS):
            spread = LabelPropagation(alpha, **way)
            found = spread(graph.adj, graph.y, graph.train_idx, 2)
            pairs.append(
                tuple(
                    accuracy(found[idx], graph.y[idx])
                    for idx in (graph.valid_idx, graph.test_idx)
                )
            )
        best = max(pairs, key=lambda pair: pair[0])
        result = Runner(graph, make_config(method="labelprop")).run(3)
        assert (result.valid_scores, result.test_scores) == ([best[0]], [best[1]])
        assert result.training_bytes == result.inference_bytes == 0
        assert result.compression_ratio is None
        chosen.add(pairs.index(best))
        if max(pair[1] for pair in pairs) > best[1]:
            chosen.add("not by test")
    assert "not by test" in chosen
    assert len(chosen) > 2


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 9},
        {"codebook_size": (3, 5)},
        {"codebook_size": 1},
        {"coder": "threshold"},
        {"method": "lowrank", "rank": 50},
        {"model": "gat", "hidden_dim": 6},
        {"coder": "fixed", "codes": "none.npy"},
    ],
    ids=str,
)
def test_sizes_are_refused_before_anything_is_written(
    graph: Graph, make_config: MakeConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Runner(graph, make_config(**changes), save=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_arguments_are_checked(graph: Graph, make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="seeds is at least 1"):
        Runner(graph, make_config()).run(0)
    with pytest.raises(ValueError, match="checkpoint_seconds"):
        Runner(graph, make_config(), checkpoint_seconds=float("inf"))


def test_checkpoint_of_another_version_is_a_sentence(
    graph: Graph, make_config: MakeConfig, tmp_path: Path
) -> None:
    Runner(graph, make_config(), save=tmp_path).run(1)
    for state in (
        {"stage": "student"},
        {"stage": "student", "trainer": {}, "peak_rss_bytes": 1},
        {"stage": "student", "trainer": {"model": {}}, "peak_rss_bytes": 1},
    ):
        save_checkpoint(tmp_path / "seed-1.checkpoint.pt", state)
        with pytest.raises(ValueError, match="of another version of kdgraph"):
            Runner(graph, make_config(), save=tmp_path).run(2)


def test_divergence_keeps_the_last_good_checkpoint(
    graph: Graph,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(folder: str) -> Any:
        save = tmp_path / folder
        return Runner(graph, make_config(), save=save, checkpoint_seconds=0).run(1)

    def diverge(logits: torch.Tensor, y: torch.Tensor, _: None) -> torch.Tensor:
        losses.append(classification_loss(logits, y))
        return losses[-1] * (float("nan") if len(losses) > 3 else 1.0)

    losses: list[torch.Tensor] = []
    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.training.loop.classification_loss", diverge)
        with pytest.raises(FloatingPointError, match="nan at epoch 3"):
            run("run")
    state = load_checkpoint(tmp_path / "run" / "seed-0.checkpoint.pt")
    assert state is not None
    assert state["trainer"]["progress"]["epoch"] == 3
    assert run("run").seeds[0].losses == run("whole").seeds[0].losses


def test_clock_bounds_the_share_of_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def write() -> None:
        now[0] += 5.0

    clock = CheckpointClock(15.0)
    assert not clock.due()
    now[0] = 15.0
    assert clock.due()
    clock.time(write)
    now[0] += 44.0
    assert not clock.due()
    now[0] += 1.0
    assert clock.due()
    always = CheckpointClock(0.0)
    always.time(write)
    assert always.due()


def test_summary_by_hand() -> None:
    assert summary([0.5]) == {"mean": 0.5, "std": 0.0, "seeds": [0.5]}
    found = summary([0.0, 1.0])
    assert (found["mean"], found["std"]) == (0.5, pytest.approx(0.5**0.5))


def test_peak_memory_is_of_the_last_stretch() -> None:
    block = torch.ones(64 * 2**20)
    high = peak_rss_bytes()
    assert high > block.numel() * 4
    del block
    if not reset_peak_rss():
        pytest.skip("this kernel cannot start measuring anew")
    assert peak_rss_bytes() < high - 200 * 10**6


def test_recipe_leaves_nothing_open(graph: Graph) -> None:
    config = resolve_config(TrainConfig(), graph)
    idle = {"rank", "max_bytes", "codes", "code_dim", "compression", "bytes_per_node"}
    idle |= {"batch_size", "fanout"}
    # Of several labels per node; older run folders name none of them.
    idle |= {"metric", "root_weight", "jk"}
    open_values = {key for key, value in config.as_dict().items() if value is None}
    assert open_values <= idle
