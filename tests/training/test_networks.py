"""Networks that read codes train as PyG's own on the vectors do."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from kdgraph.coded_features import CodedFeatures
from kdgraph.data import Graph
from kdgraph.guidance import OnlineDistillation
from kdgraph.nn import Dropout
from kdgraph.training import NodeClassifier, TrainConfig, message_graph
from kdgraph.training.methods import build_encoder
from kdgraph.training.networks import GAT_HEADS, build_gnn

MakeConfig = Callable[..., TrainConfig]
PYG = {
    "gcn": (GCN, {"normalize": False}),
    "sage": (GraphSAGE, {}),
    "gat": (GAT, {"heads": GAT_HEADS}),
    "gin": (GIN, {}),
}


def pygs_own(config: TrainConfig) -> torch.nn.Module:
    kind, options = PYG[config.model]
    gnn = kind(
        config.dim,
        config.hidden_dim,
        config.num_layers,
        out_channels=2,
        dropout=config.dropout,
        norm=config.norm,
        norm_kwargs={"track_running_stats": False},
        **options,
    )
    # The same seed is to drop the same numbers.
    gnn.dropout = Dropout(config.dropout)
    return gnn


@pytest.mark.parametrize("coder", ["softmax", "vq", "refined"])
@pytest.mark.parametrize("model", PYG)
def test_a_step_is_that_of_pygs_network(
    model: str, coder: str, graph: Graph, make_config: MakeConfig, scramble
) -> None:
    config = make_config(
        model=model,
        coder=coder,
        dim=8,
        hidden_dim=8,
        num_layers=2,
        norm="batch_norm",
        input_dropout=0.0,
        code_dropout=0.3,
    )
    torch.manual_seed(1)
    gnn = build_gnn(config, 2)
    torch.manual_seed(1)
    plain = pygs_own(config)
    assert list(gnn.state_dict()) == list(plain.state_dict())
    for ours, theirs in zip(gnn.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    encoder = build_encoder(config, graph.num_nodes)
    scramble(encoder)
    adjacency, results = message_graph(model, graph), []
    for network in (gnn, plain):
        classifier = NodeClassifier(copy.deepcopy(encoder), network)
        torch.manual_seed(2)
        logits, penalty = classifier(adjacency)
        (logits.square().sum() + penalty).backward()
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad
            for p in classifier.parameters()
        ]
        results.append((logits, penalty, classifier.eval()(adjacency)[0], grads))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_codes_are_read_unless_vectors_are_wanted(
    graph: Graph, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(coder="softmax", dim=8)
    encoder, gnn = build_encoder(config, graph.num_nodes), build_gnn(config, 2)
    adjacency, read = message_graph("gcn", graph), []
    forward = gnn.forward

    def watched(x, *others):
        read.append(isinstance(x, CodedFeatures))
        return forward(x, *others)

    monkeypatch.setattr(gnn, "forward", watched)
    guides = [OnlineDistillation((graph.num_nodes, 8))]
    for options in ({}, {"guides": guides}, {"input_dropout": 0.5}):
        model = NodeClassifier(encoder, gnn, **options)
        model(adjacency)
        model.eval()(adjacency)
        model.train()
    assert read == [True, True, False, True, False, True]
