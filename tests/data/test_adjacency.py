from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv

from kdgraph.data import (
    build_adjacency,
    gcn_norm,
    to_edge_index,
    to_pyg_edge_index,
    to_torch_csr,
)


@pytest.fixture(params=[False, True], ids=["undirected", "directed"])
def adj(request: pytest.FixtureRequest, edge_list: tuple[np.ndarray, int]):
    return build_adjacency(*edge_list, directed=request.param)


def naive_norm(adj: sparse.csr_array) -> np.ndarray:
    dense = adj.toarray().astype(np.float64)
    num_nodes = dense.shape[0]
    for v in range(num_nodes):
        dense[v, v] = 1.0
    degree = [sum(dense[v]) for v in range(num_nodes)]
    out = np.zeros_like(dense)
    for v in range(num_nodes):
        for u in range(num_nodes):
            out[v, u] = dense[v, u] / (degree[v] * degree[u]) ** 0.5
    return out


def test_norm_equals_a_loop(adj: sparse.csr_array) -> None:
    before = adj.copy()
    norm = gcn_norm(adj)
    np.testing.assert_allclose(norm.toarray(), naive_norm(adj), atol=1e-6)
    assert norm.dtype == np.float32
    assert norm.has_sorted_indices
    assert norm[[59], :].toarray().sum() == norm[59, 59] == 1  # isolated
    assert (adj != before).nnz == 0


def test_norm_equals_pyg(adj: sparse.csr_array) -> None:
    from torch_geometric.nn.conv.gcn_conv import gcn_norm as pyg_norm

    edge_index, weight = pyg_norm(to_edge_index(adj)[0], None, adj.shape[0])
    expected = np.zeros(adj.shape, dtype=np.float32)
    expected[edge_index[1], edge_index[0]] = weight
    np.testing.assert_allclose(gcn_norm(adj).toarray(), expected, atol=1e-6)


def test_norm_keeps_weights_of_loops_as_pyg_does() -> None:
    from torch_geometric.nn.conv.gcn_conv import gcn_norm as pyg_norm

    weighted = sparse.csr_array(np.array([[3.0, 2.0], [0.5, 0.0]], dtype=np.float32))
    edge_index, weight = pyg_norm(*to_edge_index(weighted), 2)
    expected = np.zeros((2, 2), dtype=np.float32)
    expected[edge_index[1], edge_index[0]] = weight
    np.testing.assert_allclose(gcn_norm(weighted).toarray(), expected, atol=1e-6)


def test_forms_hold_the_same_matrix(adj: sparse.csr_array) -> None:
    dense = adj.toarray()
    np.testing.assert_array_equal(to_torch_csr(adj).to_dense().numpy(), dense)
    for edge_index, weight in (to_edge_index(adj), to_pyg_edge_index(adj)):
        found = np.zeros_like(dense)
        rows = torch.as_tensor(edge_index)
        found[rows[1].numpy(), rows[0].numpy()] = weight.numpy()
        np.testing.assert_array_equal(found, dense)
        assert bool((rows[1].diff() >= 0).all())
    index, _ = to_pyg_edge_index(adj)
    assert isinstance(index, EdgeIndex)
    assert index.is_sorted_by_col
    assert index.sparse_size() == adj.shape


def test_direction() -> None:
    adj = build_adjacency(np.array([[0], [1]]), 2, directed=True)  # 0 -> 1
    assert to_edge_index(adj)[0].tolist() == [[0], [1]]
    x = torch.tensor([[5.0], [7.0]])
    assert (to_torch_csr(adj) @ x).tolist() == [[0.0], [5.0]]


def layers() -> dict[str, Callable[[], torch.nn.Module]]:
    return {
        "sage": lambda: SAGEConv(8, 5),
        "sage-max": lambda: SAGEConv(8, 5, aggr="max"),
        "gin": lambda: GINConv(torch.nn.Linear(8, 5)),
        "gat": lambda: GATConv(8, 5, heads=2),
    }


@pytest.mark.parametrize("name", list(layers()))
def test_layers_agree_over_all_forms(name: str, adj: sparse.csr_array) -> None:
    torch.manual_seed(0)
    layer = layers()[name]()
    x = torch.randn(adj.shape[0], 8)
    expected = layer(x, to_edge_index(adj)[0])
    for form in (to_torch_csr(adj), to_pyg_edge_index(adj)[0]):
        torch.testing.assert_close(layer(x, form), expected, atol=1e-5, rtol=1e-5)


def test_gcn_agrees_over_all_forms(adj: sparse.csr_array) -> None:
    torch.manual_seed(0)
    norm = gcn_norm(adj)
    layer = GCNConv(8, 5, normalize=False)
    x = torch.randn(adj.shape[0], 8, requires_grad=True)
    dense = torch.from_numpy(naive_norm(adj)).float()
    expected = dense @ (x @ layer.lin.weight.T) + layer.bias
    own = GCNConv(8, 5)
    own.load_state_dict(layer.state_dict())
    outputs = [
        layer(x, *to_edge_index(norm)),
        layer(x, *to_pyg_edge_index(norm)),
        layer(x, to_torch_csr(norm)),
        own(x, to_edge_index(adj)[0]),
    ]
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    for output in outputs:
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        (found,) = torch.autograd.grad(output.square().sum(), x)
        torch.testing.assert_close(found, gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("convert", [to_torch_csr, to_edge_index, to_pyg_edge_index])
def test_results_share_no_memory(convert: Callable[..., object]) -> None:
    adj = build_adjacency(np.array([[0, 1], [1, 2]]), 3)
    form = convert(adj)
    values = form.values() if isinstance(form, Tensor) else form[1]
    values.fill_(9.0)
    assert set(adj.data.tolist()) == {1.0}


@pytest.mark.parametrize(
    "make", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array]
)
def test_other_sparse_formats(make: Callable[..., object]) -> None:
    dense = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=np.float64)
    adj = make(dense)
    assert to_torch_csr(adj).to_dense().tolist() == dense.tolist()
    assert to_torch_csr(adj).dtype == torch.float64  # type: ignore[arg-type]
    np.testing.assert_allclose(
        gcn_norm(adj).toarray(),  # type: ignore[arg-type]
        naive_norm(sparse.csr_array(dense)),
        atol=1e-6,
    )


def test_unsorted_and_repeated_entries() -> None:
    adj = sparse.csr_array(
        (np.ones(4, dtype=np.float32), [1, 0, 0, 0], [0, 3, 4]), shape=(2, 2)
    )
    indices = adj.indices.copy()
    assert to_torch_csr(adj).to_dense().tolist() == [[2.0, 1.0], [1.0, 0.0]]
    np.testing.assert_array_equal(adj.indices, indices)


def test_no_edges() -> None:
    adj = build_adjacency(np.zeros((2, 0), dtype=np.int64), 3)
    assert to_torch_csr(adj).to_dense().sum() == 0
    assert to_edge_index(adj)[0].shape == to_pyg_edge_index(adj)[0].shape == (2, 0)
    np.testing.assert_array_equal(gcn_norm(adj).toarray(), np.eye(3))


def test_no_warning_escapes(edge_list: tuple[np.ndarray, int]) -> None:
    adj = build_adjacency(*edge_list)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_torch_csr(adj)
        to_pyg_edge_index(adj)
        gcn_norm(adj)


@pytest.mark.parametrize("call", [gcn_norm, to_torch_csr, to_edge_index])
def test_errors(call: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"scipy\.sparse"):
        call(np.eye(3))
    with pytest.raises(ValueError, match="square"):
        call(sparse.csr_array(np.ones((2, 3))))
