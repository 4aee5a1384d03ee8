"""Layers over codes compiled whole, and exported: as eager, for any number of nodes."""

import copy
import importlib.util

import pytest
import torch
from torch import nn

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder, SoftmaxCoder, VQCoder
from kdgraph.codes import Prefix, random_codes
from kdgraph.composers import MLPComposer, SumComposer
from kdgraph.nn import CodedGATConv, CodedGCNConv, CodedGINConv, CodedSAGEConv

N, C = 40, 8
LAYERS = {
    "gcn": lambda: CodedGCNConv(C, 4),
    "sage": lambda: CodedSAGEConv(C, 4),
    "sage-several": lambda: CodedSAGEConv(C, 4, aggr=["mean", "max"]),
    "gin": lambda: CodedGINConv(nn.Linear(C, 4), train_eps=True),
    "gat": lambda: CodedGATConv(C, 4, heads=2),
}


def made(coder, composer="concat"):
    return KDEmbedding(
        N, C, num_codebooks=4, codebook_size=3, coder=coder, composer=composer
    )


def of_prefix():
    prefix = Prefix(torch.tensor([0, 7, 9, 9, 22, 30, N]), (2, 3))
    coder = FixedCoder(random_codes(N, 2, (3, 5)).prefixed(prefix))
    return KDEmbedding(N, C, coder=coder, composer="sum")


ENCODERS = {
    "fixed": lambda: made(FixedCoder()),
    "fixed-prefix": of_prefix,
    "packed": lambda: made(FixedCoder()).export(),
    "packed-mlp": lambda: made(FixedCoder(), MLPComposer()).export(),
    "learned": lambda: made(SoftmaxCoder(2), SumComposer(3, storage="int8")),
    "vq": lambda: made(VQCoder()),
}
# Every layer on one encoder, and every encoder under the layer with most to compile.
SLOW = [("learned", layer) for layer in LAYERS]
SLOW += [(encoder, "gat") for encoder in ENCODERS if encoder != "learned"]
PAIRS = [("fixed", "gcn"), ("packed", "sage")]
PAIRS += [pytest.param(*pair, marks=pytest.mark.slow) for pair in SLOW]


class Model(nn.Module):
    def __init__(self, encoder, layer):
        super().__init__()
        self.encoder, self.layer = encoder, layer

    def forward(self, n_id, edge_index):
        return self.layer(self.encoder.coded(n_id), edge_index)


def batch(nodes, edges):
    """Nodes, and edges with loops and repetitions."""
    generator = torch.Generator().manual_seed(edges)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    edge_index[:, :2] = torch.tensor([[1, 0], [1, 0]])
    return torch.randperm(N, generator=generator)[:nodes], edge_index


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def check_compiled(encoder, layer, scramble, *, backend, dynamic):
    model = Model(ENCODERS[encoder](), LAYERS[layer]())
    if encoder in ("learned", "vq"):
        scramble(model.encoder)
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=dynamic)
    close = {"rtol": 1e-4, "atol": 1e-4}
    for training in (True, False):
        model.train(training)
        twin.train(training)
        sizes = [(30, 100), (17, 61)] if dynamic else [(30, 100)]
        for number, (nodes, edges) in enumerate(sizes):
            given = batch(nodes, edges)
            stance = "fail_on_recompile" if number else "default"
            with torch.compiler.set_stance(stance):
                found = compiled(*given)
            expected = twin(*given)
            torch.testing.assert_close(found, expected, **close)
            if training:
                leaves = [
                    [p for p in one.parameters() if p.requires_grad]
                    for one in (model, twin)
                ]
                grads = (
                    torch.autograd.grad(y.square().sum(), own)
                    for y, own in zip((found, expected), leaves, strict=True)
                )
                torch.testing.assert_close(*grads, **close)


@pytest.mark.parametrize(("encoder", "layer"), PAIRS)
def test_compiled_is_eager_for_any_size(encoder, layer, scramble):
    check_compiled(encoder, layer, scramble, backend="aot_eager", dynamic=True)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["gcn", "gat"])
def test_compiled_is_eager_for_one_size(layer, scramble):
    check_compiled("fixed", layer, scramble, backend="aot_eager", dynamic=False)


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "layer"), [("learned", "gcn"), ("packed", "gat")])
def test_generated_code_is_eager(encoder, layer, scramble):
    check_compiled(encoder, layer, scramble, backend="inductor", dynamic=True)


def test_features_go_into_a_compiled_layer():
    layer = CodedGCNConv(C, 4)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    encoder, (n_id, edge_index) = ENCODERS["fixed"](), batch(30, 100)
    found = compiled(encoder.coded(n_id), edge_index)
    torch.testing.assert_close(found, layer(encoder.coded(n_id), edge_index))


@pytest.mark.parametrize(("encoder", "layer"), [("packed", "gat"), ("learned", "gcn")])
def test_an_exported_model_needs_torch_alone(encoder, layer, scramble):
    model = Model(ENCODERS[encoder](), LAYERS[layer]()).eval()
    sizes = ({0: torch.export.Dim("nodes", min=2)}, {1: torch.export.Dim("edges")})
    program = torch.export.export(model, batch(30, 100), dynamic_shapes=sizes)
    called = {str(node.target) for node in program.graph.nodes}
    assert not [name for name in called if "kdgraph" in name]
    for given in (batch(30, 100), batch(13, 41)):
        torch.testing.assert_close(
            program.module()(*given), model(*given), rtol=1e-4, atol=1e-5
        )


def test_codes_are_decoded_for_onnx(monkeypatch):
    encoder = ENCODERS["fixed"]()
    assert encoder.coded().reads_codes
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert not encoder.coded().reads_codes


_ONNX = ("onnx", "onnxscript", "onnxruntime")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, _ONNX)), reason=f"needs {', '.join(_ONNX)}"
)
@pytest.mark.parametrize("layer", ["gcn", "gat"])
def test_onnx_gives_the_same(layer, tmp_path):
    import onnxruntime

    model, given = Model(ENCODERS["packed"](), LAYERS[layer]()).eval(), batch(30, 100)
    path = str(tmp_path / "model.onnx")
    torch.onnx.export(model, given, dynamo=True, verbose=False).save(path)
    session = onnxruntime.InferenceSession(path)
    names = [one.name for one in session.get_inputs()]
    arrays = (part.numpy() for part in given)
    (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
    expected = model(*given).detach()
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
