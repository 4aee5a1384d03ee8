"""Rivals by name: what fits a budget, what is read, and what is kept in the end."""

import dataclasses

import pytest
import torch

from kdgraph.data import Graph, sbm
from kdgraph.training import Runner, TrainConfig, resolve_config, rivals
from kdgraph.training.methods import build_encoder, without_memory
from kdgraph.training.rivals import DEFAULT_COMPRESSION, RIVALS, Rival, budget

DIM = 16
WHOLE = {
    "full",
    "int8",
    "int4",
    "int8-training",
    "deepwalk",
    "node2vec",
    "correct-and-smooth",
}
"""Those whose size is not theirs to choose."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return sbm(num_nodes=300, num_classes=3, seed=0)


def make_config(method: str, **options: object) -> TrainConfig:
    given = {"compression": 2.0, "dim": DIM, "hidden_dim": 8, "epochs": 2} | options
    return TrainConfig(method=method, **given)


@pytest.fixture(autouse=True)
def _few_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "WALKED_PAIRS", 20_000)


@pytest.mark.parametrize("method", RIVALS)
def test_rival_trains_within_its_budget(method: str, graph: Graph) -> None:
    # A decoder alone is larger than the table of so few nodes.
    config = make_config(method, compression=0.3 if "projection" in method else 2.0)
    result = Runner(graph, config).run(1)
    seed = result.seeds[0]
    assert len(seed.losses) == 2
    assert 0.0 <= seed.valid_score <= 1.0
    assert seed.inference_bytes > 0
    if method not in WHOLE:
        assert seed.inference_bytes <= budget(config, graph.num_nodes)
    again = Runner(graph, config).run(1).seeds[0]
    assert again.losses == seed.losses
    assert again.test_score == seed.test_score


@pytest.mark.parametrize("method", RIVALS)
def test_bytes_are_counted_without_memory(method: str) -> None:
    config = make_config(method, compression=50.0, batching="full", dim=128)
    with without_memory("a table"):
        encoder = build_encoder(config, 100_000)
    assert encoder.inference_bytes() > 0
    if method not in WHOLE and RIVALS[method].finish is None:
        assert encoder.inference_bytes() <= budget(config, 100_000)


def test_budget_is_what_was_asked() -> None:
    config = TrainConfig(method="tensor-train", dim=128)
    assert budget(config, 1000) == 4 * 1000 * 128 // DEFAULT_COMPRESSION
    assert budget(config.replace(compression=100.0), 1000) == 5120
    assert budget(config.replace(bytes_per_node=2.5), 1000) == 2500
    assert budget(config.replace(max_bytes=77, compression=9.0), 1000) == 77


def test_position_hash_tells_the_whole_budget(graph: Graph) -> None:
    # Importance weights of eight bytes a node; twice, a digit a node and two rows.
    least = 8 * 300 + 2 * (300 + 2 * 4 * DIM)
    config = make_config("position-hash", max_bytes=least - 1, compression=None)
    with pytest.raises(ValueError, match=f"max_bytes={least - 1}: .* take {least} "):
        Runner(graph, config).run(1)
    with without_memory("a table"):
        build_encoder(config.replace(max_bytes=least), 300)


def test_order_moves_nodes_and_not_scores(graph: Graph) -> None:
    # The METIS order is one of the nodes: every node keeps its label and its part.
    config = resolve_config(make_config("tensor-train-metis"), graph)
    read = RIVALS["tensor-train-metis"].read
    assert read is not None
    rows = read(config, graph.adj, 0, None).rows
    assert rows is not None
    moved = graph.permuted(rows.numpy())
    assert torch.equal(rows.sort().values, torch.arange(graph.num_nodes))
    assert torch.equal(
        moved.y[moved.test_idx].bincount(), graph.y[graph.test_idx].bincount()
    )


def test_kept_encoder_is_scored(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left after training decides the score, and not what was trained."""

    def forget(_config: TrainConfig, table: torch.nn.Module, _seed: int) -> object:
        blank = RIVALS["full"].make(_config, graph.num_nodes, None)  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in blank.parameters():
                parameter.zero_()
        return blank

    rival = dataclasses.replace(RIVALS["full"], finish=forget)
    assert isinstance(rival, Rival)
    config = make_config("full", epochs=30, input_dropout=0.0, dropout=0.0)
    trained = Runner(graph, config).run(1).seeds[0]
    monkeypatch.setitem(RIVALS, "full", rival)
    kept = Runner(graph, config).run(1).seeds[0]
    assert kept.losses == trained.losses
    assert kept.valid_score < trained.valid_score
    majority = graph.y[graph.test_idx].bincount().max() / graph.test_idx.numel()
    assert kept.test_score <= float(majority)


def test_table_in_eight_bits_scores_as_the_table(graph: Graph) -> None:
    config = make_config("full", epochs=20)
    table = Runner(graph, config).run(1).seeds[0]
    rounded = Runner(graph, config.replace(method="int8")).run(1).seeds[0]
    assert rounded.losses == table.losses
    assert rounded.test_score == pytest.approx(table.test_score, abs=0.03)
    assert rounded.inference_bytes == graph.num_nodes * (DIM + 8)
    assert rounded.training_bytes == 16 * graph.num_nodes * DIM
