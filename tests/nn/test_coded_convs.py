"""Layers over codes against PyG's own on the vectors, in all forms of the graph."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv

from kdgraph import KDEmbedding
from kdgraph.coded_features import CodedFeatures
from kdgraph.coders import FixedCoder, GumbelCoder, SoftmaxCoder, VQCoder
from kdgraph.composers import ConcatComposer, MLPComposer, SumComposer
from kdgraph.nn import CodedGATConv, CodedGCNConv, CodedGINConv, CodedSAGEConv

N, M, C = 12, 7, 8
CONVS = {
    "gcn": (GCNConv, CodedGCNConv, {}),
    "gcn-plain": (GCNConv, CodedGCNConv, {"normalize": False, "bias": False}),
    "gcn-improved": (GCNConv, CodedGCNConv, {"improved": True, "cached": True}),
    "gcn-mean": (GCNConv, CodedGCNConv, {"aggr": "mean"}),
    "gcn-max": (GCNConv, CodedGCNConv, {"aggr": "max"}),
    "sage": (SAGEConv, CodedSAGEConv, {}),
    "sage-sum": (SAGEConv, CodedSAGEConv, {"aggr": "sum", "normalize": True}),
    "sage-no-root": (SAGEConv, CodedSAGEConv, {"root_weight": False, "bias": False}),
    "sage-project": (SAGEConv, CodedSAGEConv, {"project": True}),
    "sage-several": (SAGEConv, CodedSAGEConv, {"aggr": ["mean", "max"]}),
    "gin": (GINConv, CodedGINConv, {"train_eps": True, "eps": 0.3}),
    "gat": (GATConv, CodedGATConv, {"heads": 3}),
    "gat-mean": (
        GATConv,
        CodedGATConv,
        {"heads": 2, "concat": False, "residual": True, "add_self_loops": False},
    ),
}
UNREAD = ("gcn-max", "sage-project", "sage-several")
PAIRED = [name for name in CONVS if not name.startswith("gcn")]
ENCODERS = {
    "fixed": lambda: (FixedCoder("random"), ConcatComposer()),
    "softmax": lambda: (SoftmaxCoder(2), SumComposer(3, storage="int8")),
    "vq": lambda: (VQCoder(), ConcatComposer(3)),
    "gumbel": lambda: (GumbelCoder("free"), SumComposer()),
    "gumbel-soft": lambda: (GumbelCoder("free", hard=False), SumComposer()),
    "mlp": lambda: (SoftmaxCoder(2), MLPComposer()),
}


def make_encoder(name, scramble):
    coder, composer = ENCODERS[name]()
    encoder = KDEmbedding(
        20,
        C,
        num_codebooks=4,
        codebook_size=[2, 5, 3, 5],
        coder=coder,
        composer=composer,
    )
    scramble(encoder)
    return encoder


def make_conv(kind, out=5, channels=C, **options):
    if issubclass(kind, GINConv):
        torch.manual_seed(4)
        return kind(
            nn.Sequential(nn.Linear(C, 6), nn.ReLU(), nn.Linear(6, out)), **options
        )
    return kind(channels, out, **options)


def edges(num_sources=N, num_targets=N):
    """Repeated edges, loops, a target that is isolated."""
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(num_sources, (40,), generator=generator)
    target = torch.randint(num_targets - 1, (40,), generator=generator)
    source[:4] = target[:4] = torch.tensor([0, 1, 1, 3])
    edge_index = torch.stack([source, target])
    return torch.cat([edge_index, edge_index[:, :7]], dim=1)


def sparse(edge_index, size, values=None):
    """``torch.sparse`` CSR with targets in rows, of distinct edges."""
    values = torch.ones(edge_index.size(1)) if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        indices = edge_index.flip(0)
        coo = torch.sparse_coo_tensor(indices, values, (size[1], size[0]))
        return coo.coalesce().to_sparse_csr()


def forms(edge_index, size):
    order = edge_index[1].argsort(stable=True)
    by_target = EdgeIndex(edge_index[:, order], sparse_size=size, sort_order="col")
    weighted = torch.rand(edge_index.size(1))
    return {
        "edge_index": edge_index,
        "EdgeIndex": EdgeIndex(edge_index, sparse_size=size),
        "EdgeIndex-sorted": by_target,
        "csr": sparse(edge_index, size),
        "csr-weighted": sparse(edge_index, size, weighted),
    }


def assert_same(conv, twin, encoder, forward):
    """Results and gradients of both layers, ``forward(conv, encode)``."""
    results = []
    for layer, coded in ((conv, True), (twin, False)):
        own = copy.deepcopy(encoder)
        torch.manual_seed(6)
        out, *extra = forward(layer, own.coded if coded else own)
        slope = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
        leaves = [*own.parameters(), *layer.parameters(), *extra]
        found = torch.autograd.grad((out * slope).sum(), leaves, allow_unused=True)
        found = [
            torch.zeros_like(p) if g is None else g
            for g, p in zip(found, leaves, strict=True)
        ]
        results.append((out, found))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def twins(name, **more):
    theirs, ours, options = CONVS[name]
    conv, twin = (make_conv(kind, **options, **more) for kind in (ours, theirs))
    twin.load_state_dict(conv.state_dict())
    return conv, twin


@pytest.mark.parametrize("form", forms(edges(), (N, N)))
@pytest.mark.parametrize("name", CONVS)
def test_codes_give_what_vectors_give_in_pyg(name, form, scramble):
    conv, twin = twins(name)
    graph = forms(edges(), (N, N))[form]
    n_id = torch.randperm(20)[:N]
    encoder = make_encoder("fixed" if "weighted" in form else "softmax", scramble)
    assert_same(conv, twin, encoder, lambda c, e: (c(e(n_id), graph),))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", ["gcn", "sage", "gin", "gat"])
def test_every_coder_learns_through_a_layer(name, encoder, scramble):
    conv, twin = twins(name)
    encoder, graph = make_encoder(encoder, scramble), edges(20, 20)
    assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph),))


@pytest.mark.parametrize("form", ["edge_index", "EdgeIndex-sorted", "csr"])
@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("target", ["coded", "plain", "none"])
def test_pairs_of_sources_and_targets(name, form, target, scramble):
    if target == "none" and name == "gat-mean":
        pytest.skip("a residual needs targets")
    conv, twin = twins(name)
    graph = forms(edges(N, M), (N, M))[form]
    encoder = make_encoder("vq", scramble)
    plain = torch.randn(M, C, requires_grad=True)
    sources, targets = torch.arange(N), torch.tensor([3, 3, 19, 0, 1, 2, 4])

    def forward(layer, encode):
        x = encode(sources)
        other = {"coded": lambda: encode(targets), "plain": lambda: plain}
        pair = x, other.get(target, lambda: None)()
        if target == "none" and form == "edge_index":
            return layer(pair, graph, size=(N, M)), plain
        return layer(pair, graph), plain

    assert_same(conv, twin, encoder, forward)


@pytest.mark.parametrize("name", ["gcn", "gcn-plain", "gcn-mean"])
def test_gradients_by_weights_of_edges(name, scramble):
    conv, twin = twins(name)
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    weight = torch.rand(graph.size(1), requires_grad=True)
    assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph, weight), weight))
    frozen = weight.detach()
    for _ in range(2):
        assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph, frozen),))


def test_gradients_by_the_values_of_a_sparse_graph(scramble):
    encoder = make_encoder("fixed", scramble)
    graph = sparse(edges(20, 20), (20, 20))
    conv, twin = twins("gcn-plain")
    values = []
    for layer, x in ((conv, encoder.coded()), (twin, encoder())):
        own = graph.detach().clone().requires_grad_()
        layer(x, own).square().sum().backward()
        values.append(own.grad.values())
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("name", ["gcn", "sage", "gin", "gat"])
def test_the_other_flow(name, scramble):
    conv, twin = twins(name, flow="target_to_source")
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph),))


@pytest.mark.parametrize("fill", ["mean", 0.5])
def test_attention_with_attributes_of_edges(fill, scramble):
    conv, twin = twins("gat", edge_dim=2, fill_value=fill, dropout=0.4)
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    attributes = torch.randn(graph.size(1), 2, requires_grad=True)

    def forward(layer, encode):
        out, (index, alpha) = layer(
            encode(None), graph, attributes, return_attention_weights=True
        )
        assert index.size(1) == alpha.size(0)
        return out + alpha.sum() + alpha[3, 1], attributes

    assert_same(conv, twin, encoder, forward)


def test_attention_of_two_kinds_of_nodes(scramble):
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    conv = CodedGATConv((C, C), 5, heads=2)
    twin = GATConv((C, C), 5, heads=2)
    twin.load_state_dict(conv.state_dict())
    assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph),))
    assert_same(conv, twin, encoder, lambda c, e: (c((e(None), e(None)), graph),))


@pytest.mark.parametrize("form", forms(edges(), (N, N)))
@pytest.mark.parametrize("name", CONVS)
def test_vectors_give_what_they_give_in_pyg(name, form):
    conv, twin = twins(name)
    graph = forms(edges(), (N, N))[form]
    x = torch.randn(N, C)
    torch.testing.assert_close(conv(x, graph), twin(x, graph))


@pytest.mark.parametrize("name", ["gcn-plain", "gcn-mean", "sage", "sage-sum", "gin"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_hidden_layers_sum_along_the_graph_they_keep(name, symmetric, monkeypatch):
    from kdgraph.nn import over_codes

    conv, twin = twins(name)
    edge_index = edges()
    if symmetric:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    graph = sparse(edge_index, (N, N), torch.rand(edge_index.size(1)))
    if symmetric:
        graph = sparse(edge_index, (N, N))
    monkeypatch.setattr(over_codes, "backend", lambda device: "native")
    calls = []
    real = over_codes.to_csr
    monkeypatch.setattr(
        over_codes, "to_csr", lambda *args: calls.append(1) or real(*args)
    )
    x = torch.randn(N, C, requires_grad=True)
    found, expected = conv(x, graph), twin(x, graph)
    assert calls
    torch.testing.assert_close(found, expected)
    slope = torch.randn_like(found)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * slope).sum(), x) for y in (found, expected))
    )


def test_what_a_graph_gives_is_kept_until_it_changes(scramble):
    encoder = make_encoder("fixed", scramble)
    graph, conv = edges(20, 20), CodedGCNConv(C, 3)
    pattern = conv._csr(encoder.coded(), graph, None).pattern
    assert conv._csr(encoder.coded(), graph, None).pattern is pattern
    graph[0, 5] = 11
    assert conv._csr(encoder.coded(), graph, None).pattern is not pattern
    torch.testing.assert_close(conv(encoder.coded(), graph), conv(encoder(), graph))
    weights = torch.rand(graph.size(1))
    first = conv(encoder.coded(), graph, weights)
    weights.mul_(3).add_(1)
    assert not torch.allclose(conv(encoder.coded(), graph, weights), first)
    adj_t = sparse(graph, (20, 20))
    plain = CodedSAGEConv(C, 3)
    first = plain(encoder.coded(), adj_t)
    adj_t.values().mul_(2)
    torch.testing.assert_close(plain(encoder.coded(), adj_t), plain(encoder(), adj_t))


def test_nothing_is_kept_of_graphs_that_are_gone(scramble):
    import gc
    import weakref

    encoder, conv = make_encoder("fixed", scramble), CodedGCNConv(C, 3)
    graphs = [edges(20, 20), sparse(edges(20, 20), (20, 20))]
    ordered = graphs[0][:, graphs[0][1].argsort()].contiguous()
    graphs += [ordered, ordered.clone().int()]
    weight = torch.rand(ordered.size(1))
    csr = weakref.ref(conv._csr(encoder.coded(), ordered, weight))
    for graph in graphs:
        conv(encoder.coded(), graph if graph.is_sparse_csr else graph.long())
        CodedSAGEConv(C, 3)(encoder.coded(), graph)
    gone = [weakref.ref(graph) for graph in graphs]
    del graph, graphs, ordered, weight
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4
    assert csr() is None


def test_parameters_names_and_lazy_sizes(scramble):
    encoder = make_encoder("softmax", scramble)
    for theirs, ours, options in CONVS.values():
        conv, twin = make_conv(ours, **options), make_conv(theirs, **options)
        assert list(conv.state_dict()) == list(twin.state_dict())
        assert repr(conv).replace("Coded", "") == repr(twin)
        copied = pickle.loads(pickle.dumps(conv))
        torch.manual_seed(1)
        expected = conv(encoder.eval().coded(), edges(20, 20))
        torch.testing.assert_close(copied(encoder.coded(), edges(20, 20)), expected)
    for lazy in (
        CodedGCNConv(-1, 3),
        CodedSAGEConv((-1, -1), 3),
        CodedGATConv(-1, 3),
        CodedGATConv((-1, -1), 3),
    ):
        out = lazy(encoder.coded(), edges(20, 20))
        torch.testing.assert_close(out, lazy(encoder(), edges(20, 20)))


def test_what_changes_messages_is_heeded(scramble):
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    conv, twin = twins("sage")
    for layer in (conv, twin):
        layer.register_message_forward_hook(lambda module, inputs, out: 2 * out)
    torch.testing.assert_close(conv(encoder.coded(), graph), twin(encoder(), graph))
    conv, twin = twins("gcn")
    for layer in (conv, twin):
        layer.lin = nn.Sequential(layer.lin, nn.Tanh())
    torch.testing.assert_close(conv(encoder.coded(), graph), twin(encoder(), graph))
    conv, twin = twins("gcn", decomposed_layers=5)
    torch.testing.assert_close(conv(encoder.coded(), graph), twin(encoder(), graph))


@pytest.mark.parametrize("name", ["gcn", "gcn-improved", "sage", "gat"])
def test_training_goes_on_with_what_inference_mode_saw(name, scramble):
    conv, twin = twins(name)
    encoder, graph = make_encoder("softmax", scramble), edges(20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(conv(encoder.coded(), graph), twin(encoder(), graph))
        twin._cached_edge_index = None
    assert_same(conv, twin, encoder, lambda c, e: (c(e(None), graph),))


@pytest.mark.parametrize("name", ["gcn", "sage", "gin", "gat"])
def test_half_precision(name, scramble):
    conv, _ = twins(name)
    encoder, graph = make_encoder("fixed", scramble), edges(20, 20)
    expected = conv(encoder(), graph)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(encoder.coded(), graph)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.1)
    half = conv.bfloat16()(encoder.bfloat16().coded(), graph)
    assert half.dtype == conv(encoder(), graph).dtype
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.2)
    half.float().sum().backward()
    assert encoder.composer.weight.grad.any()


def test_one_node_and_no_edges(scramble):
    encoder = make_encoder("softmax", scramble)
    for name in ("gcn", "sage", "gin", "gat"):
        conv, twin = twins(name)
        none = torch.empty(2, 0, dtype=torch.long)
        one = torch.tensor([3])
        torch.testing.assert_close(
            conv(encoder.coded(one), none), twin(encoder(one), none)
        )


def test_bad_input(scramble):
    encoder = make_encoder("softmax", scramble)
    for kind in (GCNConv, GATConv):
        with pytest.raises(TypeError, match="CodedFeatures are no tensor"):
            kind(C, 3)(encoder.coded(), edges(20, 20))
    for conv in (CodedGCNConv(C, 3, normalize=False), CodedSAGEConv(C, 3)):
        with pytest.raises(IndexError, match=r"sources in \[0, 20\)"):
            conv(encoder.coded(), torch.tensor([[20], [0]]))
        with pytest.raises(IndexError, match=r"targets in \[0, 20\)"):
            conv(encoder.coded(), torch.tensor([[0], [20]]))
        with pytest.raises(ValueError, match="features of 20 nodes"):
            conv(encoder.coded(), sparse(edges(), (N, N)))
        with pytest.raises(ValueError, match="integer type"):
            conv(encoder.coded(), torch.zeros(2, 3))
    with pytest.raises(IndexError, match=r"nodes in \[0, 20\), got some from 0 to 20"):
        CodedGCNConv(C, 3)(encoder.coded(), torch.tensor([[0], [20]]))
    for kind in (CodedGCNConv, CodedSAGEConv, CodedGATConv):
        with pytest.raises(ValueError, match="is the layer's in_channels"):
            kind(C + 1, 3)(encoder.coded(), edges(20, 20))
    x = encoder.coded()
    with pytest.raises(ValueError, match="does not support bipartite"):
        CodedGCNConv(C, 3)((x, x), edges(20, 20))


@pytest.mark.parametrize("name", [n for n in CONVS if n not in UNREAD])
def test_vectors_are_never_formed(name, scramble, monkeypatch):
    conv, _ = twins(name)
    encoder = make_encoder("softmax", scramble)
    graphs = list(forms(edges(20, 20), (20, 20)).values())
    if name == "gcn-improved":
        del graphs[1:]  # it keeps the first it sees
    expected = [conv(encoder(), graph) for graph in graphs]

    def formed(_features):
        raise AssertionError("formed")

    monkeypatch.setattr(CodedFeatures, "dense", formed)
    monkeypatch.setattr(SumComposer, "_combine", formed)
    for graph, y in zip(graphs, expected, strict=True):
        torch.testing.assert_close(conv(encoder.coded(), graph), y)
    with pytest.raises(AssertionError, match="formed"):
        twins("gcn-max")[0](encoder.coded(), edges(20, 20))


def test_compiled_whole(scramble):
    for name in ("gcn", "sage"):
        conv, _ = twins(name)
        encoder = make_encoder("softmax", scramble)
        graph, n_id = edges(), torch.randperm(20)[:N]

        def forward(n_id, graph, conv=conv, encoder=encoder):
            return conv(encoder.coded(n_id), graph)

        compiled = torch.compile(forward, fullgraph=True, backend="aot_eager")
        found, expected = compiled(n_id, graph), forward(n_id, graph)
        torch.testing.assert_close(found, expected)
        leaves = [*encoder.parameters(), *conv.parameters()]
        torch.testing.assert_close(
            *(torch.autograd.grad(y.square().sum(), leaves) for y in (found, expected))
        )
