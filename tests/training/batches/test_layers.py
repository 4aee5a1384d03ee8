"""Blocks with all neighbours, and layer-wise inference, are full-batch PyG."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding
from kdgraph.data import Graph, build_adjacency
from kdgraph.training import TrainConfig, message_graph
from kdgraph.training.batches import (
    BlockSampler,
    LayerwiseInference,
    layerwise,
    run_layers,
)
from kdgraph.training.networks import build_gnn

MODELS = ["gcn", "sage", "gat", "gin"]
NODES = 60


def make_graph(*, directed: bool = False) -> Graph:
    """Hubs, isolated nodes and loops."""
    rng = np.random.default_rng(4)
    ends = np.minimum(rng.geometric(0.08, (2, 300)) - 1, NODES - 6)
    edges = np.concatenate([ends, [[3, 9], [3, 9]]], axis=1)
    idx = torch.arange(NODES)
    return Graph(
        name="test",
        adj=build_adjacency(edges, NODES, directed=directed),
        y=idx % 3,
        train_idx=idx[:20],
        valid_idx=idx[20:30],
        test_idx=idx[30:],
        num_classes=3,
        directed=directed,
    )


def make_network(
    model: str, layers: int = 3, norm: str = "layer_norm", **more: Any
) -> nn.Module:
    torch.manual_seed(1)
    config = TrainConfig(
        model=model,
        dim=8,
        hidden_dim=8,
        num_layers=layers,
        norm=norm,
        dropout=0.0,
        batching="neighbor",
        guidance="none",
        **more,
    )
    return build_gnn(config, 3)


def make_encoder(kind: str = "softmax") -> KDEmbedding | FullEmbedding:
    torch.manual_seed(2)
    if kind == "full":
        return FullEmbedding(NODES, 8)
    return KDEmbedding(NODES, 8, num_codebooks=4, codebook_size=5, coder=kind)


def at_once(gnn: nn.Module, model: str, graph: Graph, x: Tensor) -> Tensor:
    scores: Tensor = gnn(x, message_graph(model, graph))
    return scores


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("model", MODELS)
class TestAllNeighbours:
    """Nothing is left to chance: the scores are those of the whole graph."""

    def test_blocks_give_scores_and_gradients_of_the_whole_graph(
        self, model: str, directed: bool
    ) -> None:
        graph, gnn = make_graph(directed=directed), make_network(model)
        encoder = make_encoder()
        seeds = torch.tensor([5, 59, 0, 33, 3])
        wanted = at_once(gnn, model, graph, encoder())[seeds]
        blocks = BlockSampler(graph, model).chain(seeds, [-1, -1, -1], seed=0)
        found = run_layers(gnn, encoder.coded(blocks[0].n_id), blocks)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        parameters = [*encoder.parameters(), *gnn.parameters()]
        pull = torch.randn(5, 3)
        one = torch.autograd.grad((found * pull).sum(), parameters)
        other = torch.autograd.grad((wanted * pull).sum(), parameters)
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("kind", ["softmax", "fixed", "full"])
    def test_inference_gives_the_scores_of_the_whole_graph(
        self, model: str, directed: bool, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(layerwise, "_EDGES", 40)
        monkeypatch.setattr(layerwise, "_TARGETS", 17)
        graph, gnn = make_graph(directed=directed), make_network(model).eval()
        encoder = make_encoder(kind).eval()
        infer = LayerwiseInference(gnn, BlockSampler(graph, model), 1 << 30)
        read = encoder.coded if isinstance(encoder, KDEmbedding) else encoder
        with torch.no_grad():
            wanted = at_once(gnn, model, graph, encoder())
        torch.testing.assert_close(infer(read), wanted, rtol=1e-4, atol=1e-5)
        rows = torch.tensor([40, 2, 2, 59, 7])
        torch.testing.assert_close(
            infer(read, rows), wanted[rows], rtol=1e-4, atol=1e-5
        )
        # In half the memory, and in a file.
        for memory in (NODES * 8 * 4, 1):
            small = LayerwiseInference(gnn, BlockSampler(graph, model), memory)
            torch.testing.assert_close(small(read), wanted, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
def test_layers_that_are_joined(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of blocks, and layer by layer, the scores are PyG's own."""
    monkeypatch.setattr(layerwise, "_TARGETS", 17)
    graph = make_graph()
    gnn = make_network(model, jk="cat", root_weight=False).eval()
    assert model != "sage" or not any(conv.root_weight for conv in gnn.convs)  # type: ignore[union-attr]
    encoder, sampler = make_encoder("fixed").eval(), BlockSampler(graph, model)
    assert isinstance(encoder, KDEmbedding)
    rows = torch.tensor([40, 2, 59, 7])
    with torch.no_grad():
        wanted = at_once(gnn, model, graph, encoder())
        blocks = sampler.chain(rows, [-1, -1, -1], seed=0)
        found = run_layers(gnn, encoder.coded(blocks[0].n_id), blocks)
        infer = LayerwiseInference(gnn, sampler, 1 << 30)
        torch.testing.assert_close(found, wanted[rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(infer(encoder.coded), wanted, rtol=1e-4, atol=1e-5)
        some = infer(encoder.coded, rows)
    torch.testing.assert_close(some, wanted[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["gcn", "gin", "sage"])
def test_sampled_sums_are_right_on_average(model: str) -> None:
    graph, gnn = make_graph(), make_network(model, layers=1, norm="none")
    sampler, seeds = BlockSampler(graph, model), torch.arange(NODES)
    if model == "gin":
        # What follows the sum is not linear; look at the sum.
        gnn.convs[0].nn = nn.Linear(8, 3)
    x = torch.randn(NODES, 8)
    with torch.no_grad():
        wanted = at_once(gnn, model, graph, x)
        total = torch.zeros_like(wanted)
        squares = torch.zeros_like(wanted)
        for seed in range(400):
            (block,) = sampler.chain(seeds, [3], seed=1000 * seed)
            found = run_layers(gnn, x[block.n_id], [block])
            total += found
            squares += found.square()
    mean = total / 400
    deviation = (squares / 400 - mean.square()).clamp(min=1e-12).sqrt() / 20
    assert ((mean - wanted).abs() <= 5 * deviation + 1e-4).all()


@pytest.mark.parametrize("model", MODELS)
def test_what_a_node_gets_does_not_depend_on_the_others(model: str) -> None:
    graph, gnn = make_graph(), make_network(model)
    sampler, encoder = BlockSampler(graph, model), make_encoder("fixed")
    gnn.dropout.p = 0.5
    seeds = torch.randperm(NODES)

    def scores(part: Tensor) -> Tensor:
        blocks = sampler.chain(part, [4, 2, 2], seed=8)
        torch.manual_seed(3)
        return run_layers(gnn, encoder.coded(blocks[0].n_id), blocks)

    whole = scores(seeds)
    parts = torch.cat([scores(part) for part in seeds.split(7)])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
