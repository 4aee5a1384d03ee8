"""What PyG does with features besides layers: it trims, masks, scripts and refuses."""

import copy
import warnings

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import trim_to_layer

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder, SoftmaxCoder
from kdgraph.composers import MLPComposer, SumComposer
from kdgraph.nn import CodedGATConv, CodedGCNConv, CodedGINConv, CodedSAGEConv

N, C = 20, 8
LAYERS = {
    "gcn": lambda: CodedGCNConv(C, 5),
    "sage": lambda: CodedSAGEConv(C, 5),
    "gin": lambda: CodedGINConv(nn.Linear(C, 5)),
    "gat": lambda: CodedGATConv(C, 5, heads=2),
}


@pytest.fixture(params=["fixed", "learned", "mlp"])
def encoder(request, scramble):
    coder, composer = {
        "fixed": (FixedCoder(), SumComposer()),
        "learned": (SoftmaxCoder(2), SumComposer(3)),
        "mlp": (FixedCoder(), MLPComposer()),
    }[request.param]
    made = KDEmbedding(
        N, C, num_codebooks=4, codebook_size=3, coder=coder, composer=composer
    )
    scramble(made)
    return made


def edges(count=60):
    return torch.randint(N, (2, count), generator=torch.Generator().manual_seed(1))


def test_what_later_hops_do_not_need_is_trimmed(encoder):
    edge_index = edges()
    hops = [5, 9, 6], [20, 40]
    twin = copy.deepcopy(encoder)
    conv = CodedSAGEConv(C, 5)
    for layer in (0, 1, 2):
        low = edge_index % (N, 14, 5)[layer]
        # Edges of later hops lead to nodes that are trimmed away.
        found = trim_to_layer(layer, *hops, encoder.coded(), low)
        expected = trim_to_layer(layer, *hops, twin(), low)
        assert found[0].size() == expected[0].size()
        y, wanted = conv(*found[:2]), conv(*expected[:2])
        torch.testing.assert_close(y, wanted, rtol=1e-4, atol=1e-5)
        grads = (
            torch.autograd.grad(one.square().sum(), [*own.parameters()])
            for one, own in ((y, encoder), (wanted, twin))
        )
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.first, self.second = LAYERS[layer](), pyg.GCNConv(-1, 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


@pytest.mark.parametrize("layer", LAYERS)
def test_explainers_see_vectors(layer, encoder):
    """The masks of codes are those of vectors."""
    net, edge_index = Net(layer), edges()
    net(encoder().detach(), edge_index)
    algorithms = [(GNNExplainer(epochs=3), "attributes")]
    if layer == "gat":
        algorithms.append((AttentionExplainer(), None))
    for algorithm, mask in algorithms:
        explainer = Explainer(
            net,
            algorithm,
            explanation_type="model",
            node_mask_type=mask,
            edge_mask_type="object",
            model_config={
                "mode": "multiclass_classification",
                "task_level": "node",
                "return_type": "raw",
            },
        )
        masks = []
        for x in (encoder.coded().detach(), encoder().detach()):
            torch.manual_seed(0)
            explanation = explainer(x, edge_index, index=3)
            masks.append([explanation.edge_mask, explanation.get("node_mask")])
        for found, expected in zip(*masks, strict=True):
            if expected is not None:
                torch.testing.assert_close(found, expected)


def test_a_data_knows_its_sizes(encoder):
    data = Data(x=encoder.coded(), edge_index=edges())
    assert (data.num_nodes, data.num_features) == (N, C)
    assert repr(data) == f"Data(x=[{N}, {C}], edge_index=[2, 60])"


PYGS = {
    "gcn": lambda: pyg.GCNConv(C, 3),
    "sage": lambda: pyg.SAGEConv(C, 3),
    "gin": lambda: pyg.GINConv(nn.Linear(C, 3)),
    "gat": lambda: pyg.GATConv(C, 3),
    "gatv2": lambda: pyg.GATv2Conv(C, 3),
    "graph": lambda: pyg.GraphConv(C, 3),
    "transformer": lambda: pyg.TransformerConv(C, 3),
    "cheb": lambda: pyg.ChebConv(C, 3, 2),
    "tag": lambda: pyg.TAGConv(C, 3),
    "edge": lambda: pyg.EdgeConv(nn.Linear(2 * C, 3)),
    "simple": pyg.SimpleConv,
    "appnp": lambda: pyg.APPNP(2, 0.1),
}


@pytest.mark.parametrize("name", PYGS)
def test_pygs_own_layers_are_told_what_to_do(name, encoder):
    with pytest.raises((TypeError, AttributeError), match=r"layer of kdgraph\.nn"):
        PYGS[name]()(encoder.coded(), edges())


@pytest.mark.parametrize("layer", LAYERS)
def test_scripting_is_refused(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for module in (LAYERS[layer](), nn.Sequential(LAYERS[layer]())):
            with pytest.raises(TypeError, match=r"not for torch\.jit\.script.*codes"):
                torch.jit.script(module)


class StubStorage:
    def __init__(self, value):
        self._value = value

    def value(self):
        return self._value


class StubSparseTensor(SparseTensor):
    """What the layers ask of a ``torch_sparse.SparseTensor``, without the package."""

    def __init__(self, csr, *, weighted):
        self._csr = csr
        self._value = csr.values() if weighted else None

    @property
    def storage(self):
        return StubStorage(self._value)

    def size(self, dim):
        return self._csr.size(dim)

    def csr(self):
        return self._csr.crow_indices(), self._csr.col_indices(), self._value


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layer", ["gcn", "sage", "gin"])
def test_a_sparse_tensor(layer, weighted, encoder):
    edge_index = edges().unique(dim=1)
    values = torch.rand(edge_index.size(1)) if weighted else torch.ones(60)
    values = values[: edge_index.size(1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adj_t = torch.sparse_coo_tensor(edge_index.flip(0), values, (N, N))
        adj_t = adj_t.coalesce().to_sparse_csr()
    conv = CodedGCNConv(C, 5, normalize=False) if layer == "gcn" else LAYERS[layer]()
    given = StubSparseTensor(adj_t, weighted=weighted)
    if not encoder.coded().reads_codes:
        pytest.skip("decoded, and then PyG's own")
    expected = conv(encoder(), adj_t)
    torch.testing.assert_close(conv(encoder.coded(), given), expected)
    with pytest.raises(ValueError, match="Encountered features of 19 nodes"):
        conv(encoder.coded(torch.arange(19)), given)
