"""Which optimizer has which parameter, and what it does with rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Adam, SparseAdam

from kdgraph.data import Graph
from kdgraph.training import NodeClassifier, TrainConfig
from kdgraph.training.methods import build_encoder, build_guidance
from kdgraph.training.neighbor_batches import NeighborBatches
from kdgraph.training.networks import build_gnn
from kdgraph.training.optimizers import Optimizers
from kdgraph.training.reading import Reading
from kdgraph.training.rivals import RIVALS

MakeConfig = Callable[..., TrainConfig]

# What has a row per node, by the name of the choice.
TABLES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "fixed": ({"coder": "fixed"}, set()),
    "refined": ({"coder": "refined", "composer": "sum"}, set()),
    "softmax": ({}, {"encoder.coder.query_rows.weight"}),
    "free": ({"query_dim": 0}, {"encoder.coder.logit_rows.weight"}),
    "gumbel": ({"coder": "gumbel"}, {"encoder.coder.query_rows.weight"}),
    "vq": ({"coder": "vq"}, {"encoder.coder.query_rows.weight"}),
    "threshold": (
        {"coder": "threshold", "codebook_size": 2},
        {"encoder.coder.logit_rows.weight"},
    ),
    "full": ({"method": "full"}, {"encoder.weight"}),
    "low rank": ({"method": "lowrank", "rank": 2}, {"encoder.rows"}),
    "online": (
        {"coder": "fixed", "guidance": "online"},
        {"guides.0.teacher.weight"},
    ),
    "both": (
        {"guidance": "online"},
        {"encoder.coder.query_rows.weight", "guides.0.teacher.weight"},
    ),
    # As many choices as nodes, and a rank of as many: keys and columns are no rows.
    "40 choices": ({"codebook_size": 10}, {"encoder.coder.query_rows.weight"}),
    "40 free": (
        {"codebook_size": 10, "query_dim": 0},
        {"encoder.coder.logit_rows.weight"},
    ),
    "rank 40": ({"method": "lowrank", "rank": 40, "dim": 40}, {"encoder.rows"}),
    "40 channels": (
        {"method": "full", "dim": 40, "hidden_dim": 40},
        {"encoder.weight"},
    ),
}


@pytest.mark.parametrize("method", RIVALS)
def test_every_rival_is_moved_in_batches(method: str) -> None:
    config = TrainConfig(
        method=method,
        dim=128,
        compression=20.0,
        batching="neighbor",
        weight_decay=0.0,
        coder_weight_decay=0.0,
    )
    torch.manual_seed(0)
    vectors = Reading(vectors=torch.zeros(20_000, 128))
    encoder = build_encoder(config, 20_000, vectors).train()
    model = NodeClassifier(encoder, torch.nn.Linear(128, 1))
    optimizers = Optimizers(config, model)
    encoding = encoder.encode(torch.arange(7))
    (model.gnn(encoding.x).sum() + encoding.penalty).backward()
    named = {
        name: p.grad for name, p in encoder.named_parameters() if p.grad is not None
    }
    sparse = {name for name, gradient in named.items() if gradient.is_sparse}
    rows = {id(p) for p in optimizers.rows}
    assert sparse == {n for n, p in encoder.named_parameters() if id(p) in rows}
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimizers.step()
    for name, gradient in named.items():
        changed = (encoder.get_parameter(name) != before[name]).any()
        assert changed == bool(gradient.to_dense().any())


def make_model(graph: Graph, config: TrainConfig) -> NodeClassifier:
    torch.manual_seed(0)
    encoder = build_encoder(config, graph.num_nodes)
    guides = build_guidance(config, encoder)
    return NodeClassifier(encoder, build_gnn(config, graph.num_classes), guides)


@pytest.mark.parametrize("name", TABLES)
def test_rows_get_an_optimizer_of_their_own(
    graph: Graph, make_config: MakeConfig, name: str
) -> None:
    changes, wanted = TABLES[name]
    config = make_config(batching="neighbor", **changes)
    model = make_model(graph, config)
    optimizers = Optimizers(config, model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        [names[id(p)] for group in one.param_groups for p in group["params"]]
        for one in optimizers.each
    ]
    kinds = [type(one) for one in optimizers.each]
    assert kinds == ([Adam, SparseAdam] if wanted else [Adam])
    assert set(found[1:] and found[1]) == wanted
    assert {names[id(p)] for p in optimizers.rows} == wanted
    # All that is trained is in one of them, once.
    every = [one for part in found for one in part]
    assert len(every) == len(set(every))
    assert set(every) == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", TABLES)
def test_a_step_moves_the_rows_of_the_batch_alone(
    graph: Graph, make_config: MakeConfig, name: str
) -> None:
    changes, wanted = TABLES[name]
    config = make_config(batching="neighbor", input_dropout=0.0, **changes)
    model = make_model(graph, config).train()
    optimizers = Optimizers(config, model)
    batches = NeighborBatches(graph, model, batch_size=2, fanout=(2, 2), network="gcn")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = batches.batch(0, 0)
    assert batch.n_id is not None
    logits, penalty = model(batch)
    (logits.square().sum() + penalty).backward()
    optimizers.step()
    after = dict(model.named_parameters())
    for table in wanted:
        assert after[table].grad is not None
        assert after[table].grad.is_sparse
        moved = (after[table] != before[table]).any(1).nonzero().flatten()
        assert moved.numel()
        assert set(moved.tolist()) <= set(batch.n_id.tolist())
    assert not torch.equal(
        after["gnn.convs.0.lin.weight"], before["gnn.convs.0.lin.weight"]
    )
    optimizers.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_one_optimizer_where_all_nodes_are_trained_at_once(
    graph: Graph, make_config: MakeConfig
) -> None:
    for batching in (None, "full"):
        config = make_config(method="full", batching=batching)
        optimizers = Optimizers(config, make_model(graph, config))
        assert [type(one) for one in optimizers.each] == [Adam]
        assert not optimizers.rows


def test_what_is_frozen_is_in_none(graph: Graph, make_config: MakeConfig) -> None:
    config = make_config(method="full", batching="neighbor")
    model = make_model(graph, config)
    model.encoder.requires_grad_(requires_grad=False)
    optimizers = Optimizers(config, model)
    held = {
        id(p) for one in optimizers.each for g in one.param_groups for p in g["params"]
    }
    assert held == {id(p) for p in model.gnn.parameters()}


def test_states_go_over_and_others_are_refused(
    graph: Graph, make_config: MakeConfig
) -> None:
    config = make_config(method="full", batching="neighbor")
    one, other = (Optimizers(config, make_model(graph, config)) for _ in range(2))
    for each in one.each:
        for group in each.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
    one.rows[0].grad = torch.ones_like(one.rows[0]).to_sparse(1)
    one.step()
    other.load_state_dict(one.state_dict())
    for left, right in zip(one.each, other.each, strict=True):
        for a, b in zip(left.state.values(), right.state.values(), strict=True):
            assert torch.equal(a["exp_avg"], b["exp_avg"])
    plain = Optimizers(make_config(coder="fixed"), make_model(graph, config))
    plain.each = plain.each[:1]
    with pytest.raises(ValueError, match="shorter|longer"):
        plain.load_state_dict(one.state_dict())
