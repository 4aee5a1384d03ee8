"""Steps over unions of clusters: who is in them, and which edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.codes import CodeTable, clusters_of
from kdgraph.data import Graph
from kdgraph.guidance import ClassTargets
from kdgraph.training import NodeClassifier, Runner, TrainConfig, Trainer
from kdgraph.training.batches import Batch, Block
from kdgraph.training.cluster_batches import ClusterBatches
from kdgraph.training.networks import build_gnn

MakeConfig = Callable[..., TrainConfig]
CLUSTERS = torch.arange(40) // 3 % 7
"""Seven of 4 to 6 nodes, none a range of nodes."""


@pytest.fixture
def make(graph: Graph, make_config: MakeConfig) -> Callable[..., ClusterBatches]:
    """Unions of two clusters, the last of one."""

    def batches(**changes: Any) -> ClusterBatches:
        targets = changes.pop("targets", None)
        config = make_config(batching="cluster", guidance="none")
        gnn = build_gnn(config, graph.num_classes)
        encoder = KDEmbedding(40, 8, num_codebooks=4, codebook_size=3, coder="fixed")
        model = NodeClassifier(encoder, gnn, targets=targets)
        values = {
            "clusters": CLUSTERS,
            "batch_size": 12,
            "num_layers": 2,
            "network": "sage",
            "seed": 3,
        }
        return ClusterBatches(graph, model, **(values | changes))

    return batches


def block_of(batch: Batch) -> Block:
    """The block of every layer."""
    assert isinstance(batch.graph, list)
    assert all(block is batch.graph[0] for block in batch.graph)
    return batch.graph[0]


def test_an_epoch_has_every_node_and_every_training_node_once(
    make: Callable[..., ClusterBatches], graph: Graph
) -> None:
    batches = make()
    assert batches.steps == 4
    seen = []
    for epoch in range(4):
        found = [batches.batch(epoch, step) for step in range(4)]
        nodes = torch.cat([block_of(batch).n_id for batch in found])
        assert torch.equal(nodes.sort().values, torch.arange(40))
        trained = [block_of(batch).n_id[batch.rows] for batch in found]
        assert torch.equal(
            torch.cat(trained).sort().values, graph.train_idx.sort().values
        )
        for batch, own in zip(found, trained, strict=True):
            assert torch.equal(batch.labels, graph.y[own])
            assert batch.share == own.numel() / 12
            assert batch.weight == 1
        assert sum(batch.share for batch in found) == pytest.approx(1)
        unions = [CLUSTERS[block_of(batch).n_id].unique() for batch in found]
        # Whole ones, and others together in every epoch.
        assert [union.numel() for union in unions] == [2, 2, 2, 1]
        assert torch.equal(torch.cat(unions).sort().values, torch.arange(7))
        seen.append(str(unions))
    assert len(set(seen)) == 4


def test_edges_are_those_inside_a_union(
    make: Callable[..., ClusterBatches], graph: Graph
) -> None:
    adjacency = torch.from_numpy(graph.adj.toarray() > 0)
    batches = make()
    for step in range(4):
        batch = batches.batch(0, step)
        block = block_of(batch)
        assert len(batch.graph) == 2
        assert block.num_targets == block.n_id.numel()
        assert torch.equal(batch.n_id, block.n_id)
        inside = adjacency[block.n_id][:, block.n_id]
        assert torch.equal(block.graph.to_dense() > 0, inside)


def test_sums_count_edges_as_often_as_they_are_fewer(
    make: Callable[..., ClusterBatches], graph: Graph
) -> None:
    degree = torch.from_numpy(np.diff(graph.adj.indptr))
    batches = make(network="gin")
    for step in range(4):
        block = block_of(batches.batch(0, step))
        matrix = block.graph.to_dense()
        left = (matrix > 0).any(1)
        sums = matrix.sum(1)
        torch.testing.assert_close(sums[left], degree[block.n_id][left].float())
        assert not sums[~left].any()


def test_a_batch_follows_from_seed_epoch_and_step_alone(
    make: Callable[..., ClusterBatches],
) -> None:
    batches, again = make(), make()
    through = [batches.batch(e, s).n_id for e in range(2) for s in range(4)]
    places = [(e, s) for e in range(2) for s in range(4)]
    back = [again.batch(*place).n_id for place in places[::-1]][::-1]
    for one, other in zip(through, back, strict=True):
        assert torch.equal(one, other)
    other = torch.cat([make(seed=4).batch(0, s).n_id for s in range(4)])
    assert not torch.equal(torch.cat(through[:4]), other)


@pytest.mark.parametrize(("size", "steps"), [(1, 7), (5, 7), (12, 4), (40, 1), (99, 1)])
def test_about_as_many_nodes_as_asked(
    make: Callable[..., ClusterBatches], size: int, steps: int
) -> None:
    assert make(batch_size=size).steps == steps


def test_all_nodes_of_a_union_are_taught(make: Callable[..., ClusterBatches]) -> None:
    targets = ClassTargets.from_scores(torch.rand(40, 2))
    batch = make(targets=targets).batch(0, 0)
    assert batch.taught is not None
    rows, nodes = batch.taught
    assert rows == slice(None)
    assert torch.equal(nodes, block_of(batch).n_id)


def test_one_cluster_is_the_graph_without_sampling(
    make: Callable[..., ClusterBatches],
) -> None:
    batches = make(clusters=torch.zeros(40, dtype=torch.int64))
    logits, _ = batches.model.eval()(batches.batch(0, 0))
    torch.testing.assert_close(logits, batches.scores(), rtol=1e-4, atol=1e-5)


def test_a_union_without_training_nodes_costs_nothing_but_a_step(
    make_graph: Callable[..., Graph], make_config: MakeConfig
) -> None:
    """All training nodes are in one cluster, which comes late in some epoch."""
    graph = make_graph(train_idx=torch.tensor([0, 1, 2]))
    config = make_config(batching="cluster", batch_size=5, guidance="none", epochs=3)
    torch.manual_seed(0)
    encoder = KDEmbedding(40, 8, num_codebooks=4, codebook_size=3, coder="fixed")
    model = NodeClassifier(encoder, build_gnn(config, graph.num_classes))
    batches = ClusterBatches(
        graph, model, clusters=CLUSTERS, batch_size=5, num_layers=2, network="gcn"
    )
    trainer = Trainer(config, graph, model, batches, torch.device("cpu"))
    shares: list[float] = []
    trainer.run(after_step=lambda one: shares.append(one.progress.share))
    assert 0.0 in shares
    assert all(0 < loss < 10 for loss in trainer.progress.losses)


def test_clusters_are_those_of_the_first_codes(
    graph: Graph, make_config: MakeConfig
) -> None:
    config = make_config(
        coder="fixed",
        codes="tree:4x2+random:2x3",
        num_codebooks=None,
        codebook_size=None,
        batching="cluster",
        batch_size=10,
    )
    seen: list[Any] = []

    def look(_: int, __: str, trainer: Trainer) -> None:
        seen.append(trainer)

    Runner(graph, config).run(1, look)
    trainer = seen[0]
    table = trainer.model.encoder.code_table()
    assert isinstance(table, CodeTable)
    wanted = clusters_of(table)
    batches = trainer.batching
    assert isinstance(batches, ClusterBatches)
    found = [batches.clusters[place] for place in range(len(batches.clusters))]
    assert [wanted[nodes].unique().numel() for nodes in found] == [1] * len(found)
    assert len(found) == wanted.unique().numel() > 1
