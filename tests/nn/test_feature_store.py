"""KDFeatureStore under PyG's loaders."""

import pytest
import torch
from torch_geometric.data import Data, TensorAttr
from torch_geometric.loader import NodeLoader
from torch_geometric.testing import MyGraphStore

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable, Prefix
from kdgraph.data import NeighborSampler, sbm
from kdgraph.nn import CodedGCNConv, KDFeatureStore

N = 60


def make_encoder():
    torch.manual_seed(0)
    codes = CodeTable.from_codes(torch.randint(5, (N, 4)), 5)
    encoder = KDEmbedding(N, 8, coder=FixedCoder(codes))
    with torch.no_grad():
        encoder.composer.weight.normal_()
    return encoder.export()


def batches(store):
    graph = sbm(num_nodes=N, mean_degree=5, seed=0)
    sampler = NeighborSampler(graph, [3, 2])
    loader = NodeLoader(
        (store, MyGraphStore()),
        sampler,
        input_nodes=torch.arange(N),
        batch_size=16,
    )
    return graph, list(loader)


def test_batches_have_vectors_and_labels():
    encoder = make_encoder()
    store = KDFeatureStore(encoder)
    graph = sbm(num_nodes=N, mean_degree=5, seed=0)
    store.put_tensor(graph.y, attr_name="y", group_name=None, index=None)
    _, found = batches(store)
    assert len(found) == 4
    for batch in found:
        assert isinstance(batch, Data)
        assert torch.equal(batch.x, encoder(batch.n_id))
        assert torch.equal(batch.y, graph.y[batch.n_id])


def test_batches_have_codes_that_layers_read():
    encoder = make_encoder()
    store = KDFeatureStore(encoder, packed=True)
    conv = CodedGCNConv(8, 3)
    for batch in batches(store)[1]:
        assert batch.codes.dtype == torch.uint8
        assert torch.equal(store.decode(batch.codes), encoder(batch.n_id))
        features = store.coded(batch.codes)
        assert features.reads_codes
        torch.testing.assert_close(
            conv(features, batch.edge_index),
            conv(encoder(batch.n_id), batch.edge_index),
            rtol=1e-4,
            atol=1e-5,
        )


def test_codes_that_the_order_tells_are_told():
    table = CodeTable.from_codes(torch.randint(5, (N, 2)), 5)
    table = table.prefixed(Prefix(torch.tensor([0, 20, 40, N]), (3,)))
    learned, n_id = (
        KDEmbedding(N, 9, coder=FixedCoder(table)),
        torch.tensor([59, 0, 21]),
    )
    for order in (None, torch.randperm(N)):
        encoder = learned.export(order)
        assert encoder.prefix is not None
        store = KDFeatureStore(encoder, packed=True)
        assert torch.equal(store.decode(store[None, "codes", n_id]), encoder(n_id))


@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_index(packed):
    encoder = make_encoder()
    store = KDFeatureStore(encoder, packed=packed)
    name = "codes" if packed else "x"
    mask = torch.arange(N) % 7 == 0
    every = store[None, name, None]
    kinds = [
        (torch.tensor([3, 3, 0]), [3, 3, 0]),
        (slice(2, 9, 3), [2, 5, 8]),
        (mask, list(range(0, N, 7))),
        (7, [7]),
    ]
    assert tuple(every.shape) == store.get_tensor_size(None, name)
    for index, rows in kinds:
        assert torch.equal(store[None, name, index], every[rows])


def test_other_tensors():
    store = KDFeatureStore(make_encoder(), group_name="paper")
    year = torch.arange(N)
    assert store.put_tensor(year.clone(), "paper", "year", None)
    assert store.put_tensor(torch.tensor([7, 7]), "paper", "year", torch.tensor([0, 1]))
    assert store["paper", "year", torch.tensor([1, 2])].tolist() == [7, 2]
    assert year[:2].tolist() == [0, 1]  # what was put is not written to
    assert store.get_tensor_size("paper", "year") == (N,)
    assert store.get_tensor_size("paper", "month") is None
    names = [attr.attr_name for attr in store.get_all_tensor_attrs()]
    assert names == ["x", "year"]
    assert repr(store) == "KDFeatureStore(x=[60, 8], others=1)"
    assert store.remove_tensor("paper", "year", None)
    assert not store.remove_tensor("paper", "year", None)


def test_rows_that_are_put_for_ids_are_kept():
    """As PyG's own store keeps them, and as its tests ask for them."""
    store, rows = KDFeatureStore(make_encoder()), torch.arange(6.0).reshape(3, 2)
    ids = torch.tensor([40, 7, 9])
    attr = TensorAttr("author", "x", ids)
    assert store.put_tensor(rows, attr)
    assert torch.equal(store[attr], rows)
    assert torch.equal(store["author", "x", torch.tensor([9, 40])], rows[[2, 0]])
    assert torch.equal(store["author"].x[torch.tensor([7])], rows[1:2])
    assert store.get_tensor_size("author", "x") == (3, 2)
    with pytest.raises(IndexError, match="no row of id 8; rows were put for 3 ids"):
        store["author", "x", torch.tensor([7, 8])]
    assert store.put_tensor(-rows[:2], "author", "x", torch.tensor([8, 9]))
    found = store["author", "x", torch.tensor([8, 9, 40])]
    assert torch.equal(found, torch.stack([-rows[0], -rows[1], rows[0]]))
    assert store.update_tensor(rows + 1, attr)
    assert torch.equal(store[attr], rows + 1)
    del store["author", "x", None]
    with pytest.raises(KeyError, match="no tensor 'x' of group 'author'"):
        store[attr]
    with pytest.raises(ValueError, match="a row for each of 3 ids, got 2"):
        store.put_tensor(rows[:2], attr)
    store["author", "x", None] = rows
    assert torch.equal(store["author"].x[:], rows)


def test_bad_input():
    encoder = make_encoder()
    with pytest.raises(TypeError, match="PackedEmbedding, such as encoder.export"):
        KDFeatureStore(KDEmbedding(N, 8, num_codebooks=2, codebook_size=3))
    store = KDFeatureStore(encoder, packed=True)
    with pytest.raises(ValueError, match="makes 'codes' of its codes"):
        store.put_tensor(torch.zeros(N), None, "codes", None)
    with pytest.raises(ValueError, match=r"uint8 \[B, 2\], got torch.uint8 \[1, 3\]"):
        store.coded(torch.zeros(1, 3, dtype=torch.uint8))
    for given in (store, KDFeatureStore(encoder)):
        name = given.get_all_tensor_attrs()[0].attr_name
        with pytest.raises(IndexError):
            given.get_tensor(TensorAttr(None, name, torch.tensor([N])))
