"""Steps over sampled neighbourhoods: who is in them, and what follows from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.data import Graph
from kdgraph.guidance import ClassTargets
from kdgraph.training import NodeClassifier, TrainConfig
from kdgraph.training.batches import Batch
from kdgraph.training.methods import build_encoder
from kdgraph.training.metrics import classification_loss
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn
from kdgraph.training.ranks import Ranks

MakeConfig = Callable[..., TrainConfig]


def fake_ranks(rank: int, size: int) -> Ranks:
    """One of several processes that need not talk to each other."""
    ranks = Ranks()
    ranks.rank, ranks.size = rank, size
    return ranks


@pytest.fixture
def make(graph: Graph, make_config: MakeConfig) -> Callable[..., NeighborBatches]:
    """Batches of 5 of 12 training nodes: 5, 5 and 2."""

    def batches(**changes: Any) -> NeighborBatches:
        targets = changes.pop("targets", None)
        config = make_config(batching="neighbor", guidance="none")
        gnn = build_gnn(config, graph.num_classes)
        encoder = KDEmbedding(40, 8, num_codebooks=4, codebook_size=3, coder="fixed")
        model = NodeClassifier(encoder, gnn, targets=targets)
        values = {"batch_size": 5, "fanout": (3, 2), "network": "gcn", "seed": 3}
        return NeighborBatches(graph, model, **(values | changes))

    return batches


def seeds_of(batch: Batch) -> torch.Tensor:
    """The training nodes of a batch."""
    assert isinstance(batch.graph, list)
    assert isinstance(batch.rows, slice)
    return batch.graph[-1].targets[batch.rows]


def assert_same(one: Batch, other: Batch) -> None:
    """Every node, edge and weight is equal."""
    assert isinstance(one.graph, list)
    assert isinstance(other.graph, list)
    for left, right in zip(one.graph, other.graph, strict=True):
        assert torch.equal(left.n_id, right.n_id)
        assert left.num_targets == right.num_targets
        assert torch.equal(left.graph.to_dense(), right.graph.to_dense())
    assert torch.equal(one.labels, other.labels)
    assert (one.rows, one.share, one.weight) == (other.rows, other.share, other.weight)


def test_an_epoch_has_every_training_node_once(
    make: Callable[..., NeighborBatches], graph: Graph
) -> None:
    batches = make()
    assert batches.steps == 3
    orders = []
    for epoch in range(3):
        found = [batches.batch(epoch, step) for step in range(3)]
        seeds = torch.cat([seeds_of(batch) for batch in found])
        assert torch.equal(seeds.sort().values, graph.train_idx.sort().values)
        assert [seeds_of(batch).numel() for batch in found] == [5, 5, 2]
        assert [batch.share for batch in found] == [5 / 12, 5 / 12, 2 / 12]
        assert sum(batch.share for batch in found) == pytest.approx(1, abs=1e-12)
        assert all(batch.weight == 1 for batch in found)
        for batch in found:
            assert torch.equal(batch.labels, graph.y[seeds_of(batch)])
            assert batch.n_id is batch.graph[0].n_id
            assert batch.taught is None
        orders.append(seeds.tolist())
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("size", [1, 4, 6, 12])
def test_batches_that_go_into_the_training_nodes_or_not(
    make: Callable[..., NeighborBatches], size: int
) -> None:
    batches = make(batch_size=size)
    counts = [seeds_of(batches.batch(0, step)).numel() for step in range(batches.steps)]
    assert counts == [size] * (12 // size) + ([12 % size] if 12 % size else [])


def test_blocks_hold_edges_of_the_graph_and_as_many_as_asked(
    make: Callable[..., NeighborBatches], graph: Graph
) -> None:
    adjacency = graph.adj.toarray() > 0
    last, first = make().batch(0, 1).graph[::-1]
    for block, fanout in ((last, 3), (first, 2)):
        matrix = block.graph.to_dense() != 0
        matrix.diagonal().fill_(value=False)  # loops that the normalisation adds
        for target, row in zip(block.targets.tolist(), matrix, strict=True):
            sources = block.n_id[row].tolist()
            assert adjacency[target, sources].all()
            assert len(sources) == min(fanout, int(adjacency[target].sum()))
    assert torch.equal(first.targets, last.n_id)


def test_a_batch_follows_from_seed_epoch_and_step_alone(
    make: Callable[..., NeighborBatches],
) -> None:
    batches = make()
    through = {
        (epoch, step): batches.batch(epoch, step)
        for epoch in range(3)
        for step in range(3)
    }
    # Out of order, what was drawn ahead is of no use.
    again = make()
    torch.manual_seed(77)
    for place in ((2, 1), (0, 2), (0, 2), (1, 0), (0, 0), (2, 2)):
        assert_same(again.batch(*place), through[place])
    other = make(seed=4)
    seeds = [seeds_of(one.batch(0, 0)).tolist() for one in (other, batches)]
    assert seeds[0] != seeds[1]


def test_what_was_drawn_ahead_is_what_would_be_drawn(
    make: Callable[..., NeighborBatches],
) -> None:
    batches = make()
    drawn: list[tuple[int, int]] = []
    draw = batches._draw

    def counted(epoch: int, step: int) -> Batch:
        drawn.append((epoch, step))
        return draw(epoch, step)

    batches._draw = counted  # type: ignore[method-assign]
    places = [(0, 0), (0, 1), (0, 2), (1, 0)]
    for place in places:
        assert_same(batches.batch(*place), make()._draw(*place))
    batches._pool.shutdown()
    # Each once, and the one ahead.
    assert drawn == [*places, (1, 1)]


def test_random_numbers_of_a_step_follow_from_its_place(
    make: Callable[..., NeighborBatches],
) -> None:
    def numbers(batches: NeighborBatches, epoch: int, step: int) -> list[float]:
        torch.rand(epoch + 2 * step + 1)
        batches.batch(epoch, step)
        return torch.rand(3).tolist()

    places = [(epoch, step) for epoch in range(2) for step in range(3)]
    batches = make()
    through = [numbers(batches, *place) for place in places]
    again = make()
    back = [numbers(again, *place) for place in places[::-1]]
    assert back[::-1] == through
    assert len({tuple(one) for one in through}) == len(places)
    after = []
    for epoch in (0, 1):
        torch.rand(epoch + 1)
        batches.end_epoch(epoch)
        after.append(torch.rand(3).tolist())
    batches.end_epoch(0)
    assert torch.rand(3).tolist() == after[0]
    assert not [one for one in after if one in through]


def test_an_error_while_drawing_ahead_is_raised_when_it_is_due(
    make: Callable[..., NeighborBatches],
) -> None:
    batches = make()
    draw = batches._draw

    def fail(epoch: int, step: int) -> Batch:
        if (epoch, step) == (0, 1):
            raise OSError("the graph is gone")
        return draw(epoch, step)

    batches._draw = fail  # type: ignore[method-assign]
    batches.batch(0, 0)
    with pytest.raises(OSError, match="the graph is gone"):
        batches.batch(0, 1)


class TestTaught:
    """Guidance learns from nodes of its own, drawn from all."""

    def targets(self) -> ClassTargets:
        torch.manual_seed(2)
        return ClassTargets.from_scores(torch.rand(40, 2))

    def test_rows_and_nodes(self, make: Callable[..., NeighborBatches]) -> None:
        batches = make(targets=self.targets())
        seen: set[int] = set()
        for epoch in range(20):
            for step in range(3):
                batch = batches.batch(epoch, step)
                own = seeds_of(batch)
                assert batch.taught is not None
                rows, nodes = batch.taught
                assert rows == slice(own.numel(), 2 * own.numel())
                assert torch.equal(batch.graph[-1].targets[rows], nodes)
                seen |= set(nodes.tolist())
        assert seen == set(range(40))

    def test_training_nodes_are_those_without_guidance(
        self, make: Callable[..., NeighborBatches]
    ) -> None:
        guided, plain = make(targets=self.targets()), make()
        for place in ((0, 0), (0, 2), (1, 1)):
            one, other = guided.batch(*place), plain.batch(*place)
            assert torch.equal(seeds_of(one), seeds_of(other))
            assert torch.equal(one.labels, other.labels)

    def test_a_node_that_stands_twice_gets_one_score(
        self, make: Callable[..., NeighborBatches], graph: Graph
    ) -> None:
        batches = make(targets=self.targets(), batch_size=12)
        model = batches.model.eval()
        batch = batches.batch(0, 0)
        nodes = batch.graph[-1].targets
        assert nodes.unique().numel() < nodes.numel() == 24
        scores, _ = model(batch)
        assert scores.shape == (24, graph.num_classes)
        for node in nodes.unique():
            rows = scores[nodes == node]
            torch.testing.assert_close(rows, rows[:1].expand_as(rows))


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("guided", [False, True])
def test_parts_of_processes_are_together_the_whole(
    make: Callable[..., NeighborBatches], size: int, guided: bool
) -> None:
    changes = {"targets": TestTaught().targets()} if guided else {}
    alone = make(**changes)
    ranks = [make(**changes, ranks=fake_ranks(rank, size)) for rank in range(size)]
    for epoch, step in ((0, 0), (0, 2), (4, 1)):
        whole = alone.batch(epoch, step)
        parts = [one.batch(epoch, step) for one in ranks]
        seeds = torch.cat([seeds_of(part) for part in parts])
        assert torch.equal(seeds, seeds_of(whole))
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
        assert {part.share for part in parts} == {whole.share}
        # The mean over processes of weighted means is the mean over the whole.
        for part in parts:
            share = seeds_of(part).numel() / seeds.numel()
            assert part.weight / size == pytest.approx(share)
        counts = [seeds_of(part).numel() for part in parts]
        assert max(counts) - min(counts) <= 1
        if guided:
            assert whole.taught is not None
            nodes = torch.cat([part.taught[1] for part in parts])  # type: ignore[index]
            assert torch.equal(nodes, whole.taught[1])
            assert (whole.weight, whole.taught_weight) == (1, 1)
            # Where all have a target, they weigh what the training nodes do.
            weights = [part.weight for part in parts]
            assert [part.taught_weight for part in parts] == pytest.approx(weights)
        # Each samples for its nodes what is drawn for them in the whole.
        adjacency = _edges(whole)
        for part in parts:
            assert _edges(part) <= adjacency


def _edges(batch: Batch) -> set[tuple[int, int, int, float]]:
    """Layer, target, source and weight of every edge."""
    found = set()
    for layer, block in enumerate(batch.graph):
        assert not isinstance(block, torch.Tensor)
        matrix = block.graph.to_dense()
        for row, column in matrix.nonzero().tolist():
            ends = int(block.n_id[row]), int(block.n_id[column])
            found.add((layer, *ends, float(matrix[row, column])))
    return found


@pytest.mark.parametrize(
    ("model", "coder"),
    [
        *((model, "fixed") for model in ("gcn", "sage", "gat", "gin")),
        *(("gcn", coder) for coder in ("softmax", "gumbel", "vq", "refined")),
    ],
)
def test_a_process_without_a_node_takes_part_with_gradients_of_zero(
    graph: Graph, make_config: MakeConfig, model: str, coder: str
) -> None:
    """More processes than nodes in a step: the others wait for gradients of all."""
    config = make_config(
        batching="neighbor",
        model=model,
        norm="layer_norm",
        coder=coder,
        composer="sum",
        code_dropout=0.3,
    )
    gnn = build_gnn(config, graph.num_classes)
    encoder = build_encoder(config, 40)
    for dropout in (0.0, 0.2):
        classifier = NodeClassifier(encoder, gnn, input_dropout=dropout).train()
        batches = NeighborBatches(
            graph,
            classifier,
            batch_size=1,
            fanout=(2, 2),
            network=model,
            ranks=fake_ranks(0, 2),
        )
        batch = batches.batch(0, 0)
        assert (seeds_of(batch).numel(), batch.weight) == (0, 0)
        logits, penalty = classifier(batch)
        assert logits.shape == (0, 2)
        classifier.zero_grad()
        (logits.sum() * 0.0 + penalty).backward()
        for name, parameter in classifier.named_parameters():
            assert parameter.grad is not None, name
            assert not parameter.grad.to_dense().any(), name


def test_losses_of_parts_average_to_that_of_the_whole(
    make: Callable[..., NeighborBatches], graph: Graph
) -> None:
    """Labels, and classes of which some nodes have none."""
    torch.manual_seed(1)
    scores = torch.rand(40, 2) * (torch.arange(40) % 3 > 0).unsqueeze(1)
    targets = ClassTargets.from_scores(scores, weight=0.7)
    model = make(targets=targets).model.train()
    for size in (2, 3):
        batches = [
            make(batch_size=11, targets=targets, ranks=ranks)
            for ranks in (Ranks(), *(fake_ranks(rank, size) for rank in range(size)))
        ]
        for step in (0, 1):
            losses = []
            for one in batches:
                one.model.load_state_dict(model.state_dict())
                one.model.train()
                one.model.gnn.dropout.p = 0.0
                batch = one.batch(0, step)
                logits, penalty = one.model(batch)
                seen = classification_loss(logits[batch.rows], batch.labels)
                losses.append(float((seen * batch.weight + penalty).detach()))
            assert sum(losses[1:]) / size == pytest.approx(losses[0], rel=1e-5)


def test_nothing_is_taught_where_no_node_has_a_target(
    make: Callable[..., NeighborBatches],
) -> None:
    targets = ClassTargets.from_scores(torch.zeros(40, 2))
    batches = make(targets=targets)
    batch = batches.batch(0, 0)
    assert batch.taught_weight == 0
    _, penalty = batches.model.train()(batch)
    assert penalty.item() == 0


def test_all_neighbours_of_a_node_are_its_row_of_the_graph(
    make: Callable[..., NeighborBatches], graph: Graph
) -> None:
    batches = make(batch_size=1, fanout=(-1,), network="sage")
    for step in range(12):
        batch = batches.batch(0, step)
        (node,) = seeds_of(batch).tolist()
        block = batch.graph[0]
        assert not isinstance(block, torch.Tensor)
        found = block.n_id[block.graph.to_dense()[0] > 0].tolist()
        assert found == graph.adj[[node]].indices.tolist()
