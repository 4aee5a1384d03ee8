"""Names that torch and PyG may take away: what happens then, one by one."""

import ast
import importlib
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import kdgraph
from kdgraph import KDEmbedding, compat
from kdgraph.coders import FixedCoder
from kdgraph.codes import random_codes
from kdgraph.composers import SumComposer
from kdgraph.data import ClusterLoader, sbm
from kdgraph.nn import CodedGATConv, CodedGCNConv
from kdgraph.ops.tensor_cache import TensorCache

IGNORE = "_set_params_and_buffers_to_ignore_for_model"
EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def test_private_names_are_used_in_one_module_only():
    """Names with an underscore that torch and PyG define, and kdgraph does not."""
    root = Path(kdgraph.__file__).parent
    subclassed = {
        "nn/feature_store.py": {"_get_tensor", "_get_tensor_size"},
        "nn/gcn_conv.py": {"_cached_edge_index", "_cached_adj_t"},
    }
    examples = [GCNConv(2, 2), torch.zeros(1), torch, torch.library, Data()]
    names = {name for one in examples for name in dir(one) if name[:1] == "_"}
    names = {name for name in names - {"_"} if not name.startswith("__")}
    for path in root.rglob("*.py"):
        if path == root / "compat.py":
            continue
        tree = ast.parse(path.read_text())
        nodes = list(ast.walk(tree))
        own = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        own |= subclassed.get(path.relative_to(root).as_posix(), set())
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        used |= {node.value for node in nodes if isinstance(node, ast.Constant)}
        assert not (used & names) - own, path
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                parts = node.module.split(".") + [alias.name for alias in node.names]
                outside = parts[0] in ("torch", "torch_geometric")
                assert not (outside and any(p[:1] == "_" for p in parts)), path


@pytest.fixture
def without(monkeypatch):
    """Take a name away."""

    def remove(module, *names):
        owner = reduce(getattr, names[:-1], importlib.import_module(module))
        monkeypatch.delattr(owner, names[-1])

    return remove


def gcn():
    table = random_codes(3, 2, 2)
    encoder = KDEmbedding(3, 4, coder=FixedCoder(table), composer=SumComposer())
    return encoder, CodedGCNConv(4, 2)


def test_schema_with_the_sequence_of_typing():
    def function(x: Tensor, sizes: Sequence[int], packed: bool) -> Tensor:
        return x

    assert (
        compat.infer_schema(function) == "(Tensor x, SymInt[] sizes, bool packed)"
        " -> Tensor"
    )


def test_autocast_without_its_registration(without):
    without("torch.library", "register_autocast")
    torch.library.define("kdgraph_test::twice", "(Tensor x, int[] n) -> Tensor")
    seen = []

    def twice(x, n):
        seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return 2 * x

    torch.library.impl("kdgraph_test::twice", "CompositeExplicitAutograd", twice)
    operation = torch.ops.kdgraph_test.twice.default
    compat.register_autocast(operation, "cpu", torch.float32)
    half, double = torch.ones(2).bfloat16(), torch.ones(2).double()
    assert operation(half, [1]).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert operation(half, [1]).dtype == torch.float32
        assert operation(double, [1]).dtype == torch.float64
    assert seen == [
        (torch.bfloat16, False),
        (torch.float32, False),
        (torch.float64, False),
    ]


def test_versions_without_a_counter(monkeypatch):
    tensor, cache = torch.zeros(2), TensorCache()
    assert cache.get(tensor, "sum", lambda: 1) == 1
    assert cache.get(tensor, "sum", lambda: 2) == 1
    made = object()  # has no counter
    assert compat.version_of(made) != compat.version_of(made)


def test_cache_without_weak_dictionary(without):
    without("torch.utils.weak", "WeakTensorKeyDictionary")
    tensor, cache = torch.zeros(2), TensorCache()
    assert cache.get(tensor, "sum", lambda: 1) == 1
    assert cache.get(tensor, "sum", lambda: 2) == 2


def test_parts_of_sparse_tensors_without_private_names(monkeypatch):
    class Public:
        def __init__(self, tensor):
            self.coalesce = tensor.coalesce

    twice = torch.sparse_coo_tensor([[1, 1]], [2.0, 3.0], (3,), check_invariants=True)
    indices, values = compat.sparse_parts(twice)
    assert (indices.tolist(), values.tolist()) == ([[1, 1]], [2.0, 3.0])
    indices, values = compat.sparse_parts(Public(twice))
    assert (indices.tolist(), values.tolist()) == ([[1]], [5.0])


def test_torch_func_without_functorch(monkeypatch):
    told = []

    def look(x):
        told.append((compat.is_mapped(x), compat.transforming()))
        return x.sum()

    torch.vmap(look)(torch.zeros(2, 2))
    torch.func.grad(look)(torch.zeros(2))
    monkeypatch.delattr(torch._C, "_functorch")
    look(torch.zeros(2))
    assert told == [(True, True), (False, True), (False, False)]


def test_exports_without_the_question_of_the_compiler(without):
    told = []

    class Ask(nn.Module):
        def forward(self, x):
            told.append(compat.is_exporting())
            return x + 1

    torch.export.export(Ask(), (torch.zeros(2),))
    without("torch.compiler", "is_exporting")
    Ask()(torch.zeros(2))
    assert told == [True, False]


def test_hooks_are_seen_and_supposed_where_names_are_gone():
    encoder, conv = gcn()
    expected = conv(encoder.coded(), EDGES)
    assert not compat.has_message_hooks(conv)
    handle = conv.register_message_forward_hook(lambda *_: None)
    assert compat.has_message_hooks(conv)
    handle.remove()
    del conv._edge_update_forward_hooks
    assert compat.has_message_hooks(conv)
    assert torch.allclose(conv(encoder.coded(), EDGES), expected, atol=1e-6)


def test_sizes_without_the_check_of_pyg(without):
    encoder, conv = gcn()
    expected = conv(encoder.coded(), EDGES)
    assert compat.check_input(conv, EDGES, (3, 3)) == [3, 3]
    without("torch_geometric.nn.conv", "MessagePassing", "_check_input")
    assert compat.check_input(conv, EDGES, None) == [None, None]
    assert compat.check_input(conv, EDGES, (3, 3)) == [3, 3]
    assert torch.equal(conv(encoder.coded(), EDGES), expected)


def batches():
    next(iter(ClusterLoader(sbm(num_nodes=50), torch.arange(50) % 5, batch_size=2)))


def attention():
    encoder, _ = gcn()
    edges = torch.sparse_coo_tensor(EDGES, torch.ones(4), (3, 3)).to_sparse_csr()
    CodedGATConv(4, 2)(encoder.coded(), edges, return_attention_weights=True)


def convolution():
    encoder, conv = gcn()
    conv(encoder.coded(), EDGES.clone())  # for which nothing is kept


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("torch_geometric.loader.utils filter_data", batches),
        ("torch_geometric.utils.sparse set_sparse_value", attention),
        ("torch_geometric.nn.conv.gcn_conv gcn_norm", convolution),
        ("torch.distributed.rendezvous rendezvous", partial(compat.rendezvous, "a")),
        (
            f"torch.nn.parallel DistributedDataParallel {IGNORE}",
            partial(compat.leave_to_others, nn.Linear(2, 2), []),
        ),
    ],
)
def test_what_nothing_can_replace_is_one_sentence(without, name, use):
    module, *names = name.split()
    without(module, *names)
    package = "torch-geometric" if module.startswith("torch_geometric") else "torch"
    dotted = ".".join((module, *names)).replace(".", r"\.")
    with pytest.raises(
        RuntimeError, match=rf"^{package} 2\.\S+ has no {dotted}, which kdgraph needs;"
    ):
        use()


def test_a_backward_pass_is_seen_where_torch_names_it(without):
    seen = []
    x = torch.zeros(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda _: seen.append(compat.in_backward()))
    y.sum().backward(retain_graph=True)
    assert (seen, compat.in_backward()) == ([True], False)
    without("torch._C", "_current_graph_task_id")
    y.sum().backward()
    assert seen == [True, False]
