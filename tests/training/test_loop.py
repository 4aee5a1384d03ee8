"""The loop: it learns, counts, selects, stops, and goes on bit for bit."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdgraph.baselines import FullEmbedding
from kdgraph.data import Graph
from kdgraph.guidance import OnlineDistillation
from kdgraph.training import NodeClassifier, TrainConfig, Trainer, message_graph
from kdgraph.training.full_batch import FullBatch
from kdgraph.training.methods import build_encoder, build_guidance
from kdgraph.training.metrics import accuracy
from kdgraph.training.networks import build_gnn

MakeConfig = Callable[..., TrainConfig]
CPU = torch.device("cpu")


def make_trainer(graph: Graph, config: TrainConfig, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    encoder = build_encoder(config, graph.num_nodes)
    guides = build_guidance(config, encoder)
    gnn = build_gnn(config, graph.num_classes)
    model = NodeClassifier(encoder, gnn, guides, config.input_dropout or 0.0)
    batching = FullBatch(graph, model, message_graph(config.model, graph), CPU)
    return Trainer(config, graph, model, batching, CPU)


@pytest.mark.parametrize("coder", ["softmax", "gumbel", "vq", "threshold", "fixed"])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
def test_separable_graph_is_learned(
    graph: Graph, make_config: MakeConfig, coder: str, model: str
) -> None:
    if model == "gin" and coder in ("gumbel", "vq"):
        pytest.skip("its rectifiers die on a regular graph where all codes start equal")
    config = make_config(
        coder=coder,
        model=model,
        codebook_size=2,
        num_codebooks=8,
        dim=16,
        hidden_dim=16,
        epochs=80,
        dropout=0.0,
        input_dropout=0.0,
        weight_decay=0.0,
        coder_weight_decay=0.0,
    )
    trainer = make_trainer(graph, config)
    trainer.run()
    logits = trainer.batching.scores()
    assert accuracy(logits[graph.train_idx], graph.y[graph.train_idx]) == 1.0


def test_full_table_reaches_100_percent_of_all(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainer = make_trainer(graph, make_config(method="full", epochs=100))
    trainer.run()
    assert trainer.progress.best_valid == 1.0
    assert trainer.progress.best_test >= 0.9


def test_labels_are_learned(
    make_graph: Callable[..., Graph], make_config: MakeConfig
) -> None:
    y = torch.stack([torch.arange(40) < 20, torch.arange(40) >= 10], 1).float()
    graph = make_graph(y=y)
    trainer = make_trainer(graph, make_config(method="full", epochs=80, dropout=0.0))
    trainer.run()
    logits = trainer.batching.scores()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[graph.train_idx], y[graph.train_idx]
    )
    assert expected.item() < 0.1
    assert trainer.progress.best_valid > 0.9


def test_every_epoch_is_one_step_of_adam(graph: Graph, make_config: MakeConfig) -> None:
    trainer = make_trainer(graph, make_config(epochs=7))
    trainer.run()
    steps = [state["step"] for state in trainer.optimizer.each[0].state.values()]
    assert steps
    assert all(float(step) == 7 for step in steps)
    assert trainer.progress.epoch == len(trainer.progress.losses) == 7


def test_first_step_is_adams(graph: Graph, make_config: MakeConfig) -> None:
    """A full table with one linear layer, against the textbook's update."""
    config = make_config(method="full", num_layers=1, input_dropout=0.0, epochs=1)
    trainer, twin = (make_trainer(graph, config) for _ in range(2))
    weight = twin.model.encoder.weight
    logits, _ = twin.model.train()(twin.batching.batch(0, 0))
    loss = torch.nn.functional.cross_entropy(
        logits[graph.train_idx], graph.y[graph.train_idx]
    )
    (gradient,) = torch.autograd.grad(loss, weight)
    gradient = gradient + 5e-4 * weight
    expected = weight - 0.01 * gradient / (gradient.abs() + 1e-8)
    trainer.run()
    assert trainer.progress.losses == [loss.item()]
    torch.testing.assert_close(trainer.model.encoder.weight, expected)


def test_codes_decay_at_a_rate_of_their_own(
    graph: Graph, make_config: MakeConfig
) -> None:
    rates = {"weight_decay": 0.3, "coder_weight_decay": 0.1}
    trainer = make_trainer(graph, make_config(guidance="online", **rates))
    decays = {
        id(parameter): group["weight_decay"]
        for group in trainer.optimizer.each[0].param_groups
        for parameter in group["params"]
    }
    for name, parameter in trainer.model.named_parameters():
        expected = 0.1 if name.startswith("encoder.coder.") else 0.3
        assert decays.pop(id(parameter)) == expected, name
    assert not decays


@pytest.mark.parametrize(
    ("epochs", "every", "coder"),
    [(7, 3, "softmax"), (9, 3, "softmax"), (32, 7, "refined")],
)
def test_epochs_between_scorings_are_only_trained(
    graph: Graph, make_config: MakeConfig, epochs: int, every: int, coder: str
) -> None:
    """Training is the same; a re-assignment of codes is judged when it is due."""
    sizes = {"coder": coder, "composer": "sum"} if coder == "refined" else {}
    both = []
    for one in (1, every):
        torch.manual_seed(0)
        config = make_config(epochs=epochs, eval_every=one, **sizes)
        trainer = make_trainer(graph, config)
        trainer.run()
        both.append(trainer.progress)
    each, some = both
    due = {e for e in range(epochs) if (e + 1) % every == 0 or e == epochs - 1}
    assert each.scored_epochs == list(range(epochs))
    assert due <= set(some.scored_epochs)
    assert (due == set(some.scored_epochs)) == (coder == "softmax")
    assert some.best_epoch in some.scored_epochs
    if coder == "softmax":
        assert some.losses == each.losses
        wanted = [each.valid_scores[epoch] for epoch in some.scored_epochs]
        assert some.valid_scores == wanted


def test_best_epoch_is_the_first_of_the_best(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainer = make_trainer(graph, make_config(epochs=30))
    seen: list[tuple[float, float]] = []

    def look(trainer: Trainer) -> None:
        logits = trainer.batching.scores()
        seen.append(
            (
                accuracy(logits[graph.valid_idx], graph.y[graph.valid_idx]),
                accuracy(logits[graph.test_idx], graph.y[graph.test_idx]),
            )
        )

    trainer.run(look)
    valid = [first for first, _ in seen]
    progress = trainer.progress
    assert progress.valid_scores == valid
    assert progress.best_epoch == valid.index(max(valid))
    assert (progress.best_valid, progress.best_test) == seen[progress.best_epoch]


def test_best_state_is_that_of_the_best_epoch(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainer = make_trainer(graph, make_config(method="full", epochs=15, lr=0.3))
    weights: list[torch.Tensor] = []
    trainer.run(lambda one: weights.append(one.model.encoder.weight.detach().clone()))
    kept = trainer.best["encoder"]["weight"]
    assert torch.equal(kept, weights[trainer.progress.best_epoch])


@pytest.mark.parametrize("patience", [1, 3])
def test_patience(graph: Graph, make_config: MakeConfig, patience: int) -> None:
    trainer = make_trainer(graph, make_config(epochs=200, patience=patience, lr=1e-9))
    trainer.run()
    # Nothing moves, so the first epoch is the best.
    assert trainer.progress.best_epoch == 0
    assert trainer.progress.epoch == 1 + patience


CHOICES: dict[str, dict[str, Any]] = {
    "softmax": {},
    "gumbel": {"coder": "gumbel"},
    "vq": {"coder": "vq"},
    "vq sum": {"coder": "vq", "composer": "sum"},
    "threshold": {"coder": "threshold", "codebook_size": 2},
    "mlp": {"composer": "mlp", "code_dropout": 0.3},
    "recurrent": {"composer": "recurrent"},
    "ring": {"composer": "ring", "rank": 3},
    "online": {"guidance": "online"},
    "entropy": {"entropy_weight": 0.1},
    "batch norm": {"norm": "batch_norm", "model": "sage"},
    "gat": {"model": "gat"},
    "gin": {"model": "gin", "method": "full"},
    "low rank": {"method": "lowrank", "rank": 2},
}


@pytest.mark.parametrize("name", CHOICES)
def test_state_goes_on_bit_for_bit(
    graph: Graph, make_config: MakeConfig, name: str
) -> None:
    """At every eleventh epoch, among them one after the codewords of vq restarted."""
    config = make_config(epochs=22, **CHOICES[name])
    whole = make_trainer(graph, config)
    states: list[dict[str, Any]] = []

    def keep(trainer: Trainer) -> None:
        if trainer.progress.epoch in (1, 11):
            buffer = io.BytesIO()
            torch.save(trainer.state_dict(), buffer)
            buffer.seek(0)
            states.append(torch.load(buffer, weights_only=True))

    whole.run(keep)
    for state in states:
        resumed = make_trainer(graph, config, seed=5)
        resumed.load_state_dict(state)
        resumed.run()
        assert resumed.progress.losses == whole.progress.losses
        assert resumed.progress.valid_scores == whole.progress.valid_scores
        assert resumed.progress.best_epoch == whole.progress.best_epoch
        _assert_equal(resumed.best, whole.best)
        _assert_equal(resumed.model.state_dict(), whole.model.state_dict())
        _assert_equal(resumed.optimizer.state_dict(), whole.optimizer.state_dict())


def _assert_equal(left: Any, right: Any) -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            _assert_equal(left[key], right[key])
    elif isinstance(left, list):
        for one, other in zip(left, right, strict=True):
            _assert_equal(one, other)
    else:
        assert left == right


def test_evaluation_is_not_timed(
    graph: Graph, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(graph, make_config(epochs=3))
    evaluate = trainer._evaluate
    monkeypatch.setattr(trainer, "_evaluate", lambda: (time.sleep(0.3), evaluate()))
    trainer.run()
    assert 0 < trainer.progress.seconds < 0.5


def test_loss_that_is_not_finite_stops_before_the_step(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainer = make_trainer(graph, make_config(method="full"))
    with torch.no_grad():
        trainer.model.encoder.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss is nan at epoch 0.*smaller lr"):
        trainer.run()
    assert not trainer.optimizer.each[0].state
    assert trainer.progress.epoch == 0


def test_scores_that_are_not_finite_are_no_best_epoch(
    graph: Graph, make_config: MakeConfig
) -> None:
    trainer = make_trainer(graph, make_config(method="full", lr=1e25, epochs=1))
    with pytest.raises(FloatingPointError, match="not finite"):
        trainer.run()
    assert not trainer.best


@pytest.mark.parametrize("part", ["train_idx", "valid_idx", "test_idx"])
def test_empty_split_is_named(
    make_graph: Callable[..., Graph], make_config: MakeConfig, part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        make_trainer(
            make_graph(**{part: torch.tensor([], dtype=torch.int64)}), make_config()
        )


def test_guidance_follows_its_schedule(graph: Graph) -> None:
    steps: list[int] = []

    class Watched(OnlineDistillation):
        def set_progress(self, step: int) -> None:
            steps.append(step)

    encoder = FullEmbedding(40, 8)
    gnn = torch.nn.Identity()
    model = NodeClassifier(encoder, gnn, [Watched((40, 8))])
    config = TrainConfig(epochs=3, method="full", weight_decay=0.0)
    model.gnn.forward = lambda x, adjacency: x
    batching = FullBatch(graph, model, message_graph("gcn", graph), CPU)
    Trainer(config, graph, model, batching, CPU).run()
    assert steps == [0, 1, 2]
