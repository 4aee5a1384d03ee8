"""An encoder in the place of ``nn.Embedding`` under PyG's networks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding
from kdgraph.data import (
    build_adjacency,
    gcn_norm,
    to_edge_index,
    to_pyg_edge_index,
    to_torch_csr,
)

NUM_NODES = 60
MODELS = {"gcn": GCN, "sage": GraphSAGE, "gat": GAT, "gin": GIN}
CODERS = ("softmax", "gumbel", "vq", "fixed")


@pytest.fixture
def adjacency():
    """Repeated edges, self-loops and ten isolated nodes."""
    rng = np.random.default_rng(7)
    edges = rng.integers(0, 50, (2, 150))
    loops = np.array([[0, 1, 1, 2], [0, 1, 1, 2]])
    edges = np.concatenate([edges, edges[:, :40], loops], axis=1)
    return build_adjacency(edges, NUM_NODES)


def make_encoder(coder):
    return KDEmbedding(NUM_NODES, 8, num_codebooks=4, codebook_size=8, coder=coder)


def make_model(name, **options):
    common = {"in_channels": 8, "hidden_channels": 16, "num_layers": 2}
    if name == "gcn":
        options["normalize"] = False
    return MODELS[name](**common, out_channels=3, **options)


def forms(name, adjacency):
    """The arguments after ``x``, in each of the three forms."""
    if name == "gcn":
        adjacency = gcn_norm(adjacency)
    edge_index, weight = to_edge_index(adjacency)
    sorted_index, sorted_weight = to_pyg_edge_index(adjacency)
    weighted = name == "gcn"
    return {
        "edge_index": (edge_index, weight) if weighted else (edge_index,),
        "EdgeIndex": (sorted_index, sorted_weight) if weighted else (sorted_index,),
        "torch.sparse": (to_torch_csr(adjacency),),
    }


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("coder", CODERS)
def test_all_forms_of_the_graph_agree(name, coder, adjacency, scramble):
    encoder, model = make_encoder(coder).eval(), make_model(name).eval()
    scramble(encoder)
    results = {
        form: model(encoder(), *graph) for form, graph in forms(name, adjacency).items()
    }
    expected = results.pop("edge_index")
    assert torch.isfinite(expected).all()
    for result in results.values():
        torch.testing.assert_close(result, expected)
    packed = encoder.export()
    (graph, *_) = forms(name, adjacency).values()
    assert torch.equal(model(packed(), *graph), expected)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_in_all_forms(name, adjacency, scramble):
    encoder, model = make_encoder("softmax"), make_model(name).eval()
    scramble(encoder)
    gradients = []
    for graph in forms(name, adjacency).values():
        encoder.zero_grad()
        model(encoder(), *graph).square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters()])
    for others in gradients[1:]:
        torch.testing.assert_close(others, gradients[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_drop_in_for_a_table(name, adjacency):
    """The same numbers as ``nn.Embedding`` where the encoder is a full table."""
    table, encoder = nn.Embedding(NUM_NODES, 8), FullEmbedding(NUM_NODES, 8)
    table.weight.data.copy_(encoder.weight)
    model = make_model(name).eval()
    graph = forms(name, adjacency)["edge_index"]
    n_id = torch.arange(NUM_NODES)
    assert torch.equal(model(encoder(n_id), *graph), model(table(n_id), *graph))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("coder", CODERS)
def test_training_lowers_the_loss(name, coder, adjacency):
    encoder, model = make_encoder(coder), make_model(name)
    y = torch.arange(NUM_NODES) % 3
    graph = forms(name, adjacency)["edge_index"]
    parameters = [*encoder.parameters(), *model.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        encoding = encoder.encode()
        loss = nn.functional.cross_entropy(model(encoding.x, *graph), y)
        (loss + encoding.penalty).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < losses[0] - 0.01


class _WholeGraphs:
    """Stands for a neighbour sampler where none is installed: overlapping subgraphs."""

    def __init__(self, data, size):
        self.data, self.size = data, size

    def __iter__(self):
        for part in torch.randperm(self.data.num_nodes).split(self.size):
            batch = self.data.subgraph(part)
            batch.n_id = part.sort().values
            yield batch


def loader(data):
    try:
        batches = NeighborLoader(data, num_neighbors=[5, 5], batch_size=20)
        next(iter(batches))
    except ImportError:
        return _WholeGraphs(data, 20)
    return batches


def test_mini_batches_take_global_ids(adjacency):
    edge_index, _ = to_edge_index(adjacency)
    data = Data(edge_index=edge_index, num_nodes=NUM_NODES)
    encoder, model = make_encoder("softmax"), make_model("sage")
    for batch in loader(data):
        encoder.zero_grad()
        x = encoder(batch.n_id)
        assert x.shape == (batch.num_nodes, 8)
        model(x, batch.edge_index).sum().backward()
        touched = encoder.coder.query.grad.any(dim=1).nonzero().flatten()
        assert set(touched.tolist()) <= set(batch.n_id.tolist())
