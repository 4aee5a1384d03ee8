"""Encoders by node type, and PyG's heterogeneous models on top."""

import copy
import io
import pickle

import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv, to_hetero

from kdgraph import KDEmbedding, PackedEmbedding
from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.nn import HeteroEncoder

TYPES = ("paper", "author", "v1.venue", "items", "type")


def make():
    encoders = {
        name: KDEmbedding(10 + number, 8, num_codebooks=4, codebook_size=4, coder=coder)
        for number, (name, coder) in enumerate(
            zip(TYPES[:3], ("softmax", "vq", "fixed"), strict=True)
        )
    }
    encoders |= {name: FullEmbedding(5, 8) for name in TYPES[3:]}
    return HeteroEncoder(encoders)


def test_all_nodes_of_all_types():
    encoder = make()
    x_dict = encoder()
    assert tuple(x_dict) == TYPES == encoder.node_types
    for name in TYPES:
        assert torch.equal(x_dict[name], encoder[name]())


def test_ids_of_some_types():
    encoder = make().eval()
    n_id = torch.tensor([[1, 2], [3, 9]])
    x_dict = encoder({"v1.venue": n_id, "items": None})
    assert set(x_dict) == {"v1.venue", "items"}
    assert torch.equal(x_dict["v1.venue"], encoder["v1.venue"](n_id))
    assert x_dict["items"].shape == (5, 8)
    assert encoder({}) == {}


def test_encode_has_the_penalties():
    encodings = make().encode({"author": torch.tensor([1, 2]), "paper": None})
    assert float(encodings["author"].penalty.detach()) > 0
    assert float(encodings["paper"].penalty) == 0


def test_errors():
    encoder = make()
    with pytest.raises(KeyError, match=r"no node type 'papers'.*'paper'.*'v1\.venue'"):
        encoder({"papers": None})
    with pytest.raises(KeyError, match="knows"):
        encoder["keys"]
    with pytest.raises(IndexError, match=r"batch\.n_id"):
        encoder({"items": torch.tensor([5])})
    with pytest.raises(TypeError, match="integer"):
        encoder({"items": torch.tensor([0.5])})
    with pytest.raises(ValueError, match="at least one"):
        HeteroEncoder({})
    with pytest.raises(TypeError, match="'a', got Linear"):
        HeteroEncoder({"a": torch.nn.Linear(2, 2)})
    for name in ("", 3, ("a", "b")):
        with pytest.raises(TypeError, match="as names"):
            HeteroEncoder({name: FullEmbedding(2, 2)})
    with pytest.raises(ValueError, match="differ"):
        HeteroEncoder({"a.b": FullEmbedding(2, 2), "a#b": FullEmbedding(2, 2)})


def test_bytes_are_sums():
    encoder = make()
    parts = [encoder[name] for name in TYPES]
    assert encoder.inference_bytes() == sum(part.inference_bytes() for part in parts)
    for optimizer in ("adam", "sgd"):
        expected = sum(part.training_bytes(optimizer) for part in parts)
        assert encoder.training_bytes(optimizer) == expected


def test_reset_redraws_every_type():
    encoder = make()
    before = copy.deepcopy(encoder)
    encoder.reset_parameters()
    for name in TYPES:
        old = before[name].parameters()
        for parameter, other in zip(encoder[name].parameters(), old, strict=True):
            assert not torch.equal(parameter, other)


def test_export_packs_what_has_codes(scramble):
    encoder = make()
    scramble(encoder)
    packed, x_dict = encoder.export(), encoder.eval()()
    assert packed.node_types == TYPES
    for name in TYPES:
        assert torch.equal(packed()[name], x_dict[name])
        coded = isinstance(encoder[name], KDEmbedding)
        assert isinstance(packed[name], PackedEmbedding) == coded
    assert not any(parameter.requires_grad for parameter in packed.parameters())
    assert packed.inference_bytes() == encoder.inference_bytes()
    assert not packed.training


def test_state_and_pickle(scramble):
    encoder = make().eval()
    scramble(encoder)
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    file.seek(0)
    other = make().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    for copied in (other, pickle.loads(pickle.dumps(encoder))):
        for name, x in encoder().items():
            assert torch.equal(copied()[name], x)


def mixed():
    return HeteroEncoder(
        {
            "paper": KDEmbedding(10, 8, num_codebooks=4, codebook_size=4, coder="vq"),
            "v1.venue": torch.nn.Embedding(5, 8, padding_idx=2),
            "author": FullEmbedding(7, 6),
        }
    )


def test_what_is_saved_is_loaded(tmp_path, scramble):
    encoder = mixed()
    scramble(encoder)
    expected = encoder.eval()()
    for _ in range(2):  # the second one replaces the first
        encoder.export().save(tmp_path / "model")
        loaded = HeteroEncoder.load(tmp_path / "model")
        assert loaded.node_types == encoder.node_types
        for name, x in expected.items():
            assert torch.equal(loaded()[name], x)
        assert loaded.inference_bytes() == encoder.inference_bytes()
    loaded.save(tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "model"]


def test_what_cannot_be_saved_or_loaded(tmp_path):
    other = HeteroEncoder({"a": LowRankEmbedding(9, 8, 2)})
    with pytest.raises(TypeError, match="got a LowRankEmbedding for node type 'a'"):
        other.save(tmp_path / "model")
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="exists and is no folder of a HeteroEncoder"):
        mixed().save(tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(ValueError, match="no folder of a HeteroEncoder"):
        HeteroEncoder.load(tmp_path / "mine")
    mixed().save(tmp_path / "model")
    (tmp_path / "model" / "1.table.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="no table of vectors"):
        HeteroEncoder.load(tmp_path / "model")


def test_it_has_what_its_encoders_have():
    encoder, n_id = mixed(), torch.tensor([1, 2])
    assert encoder.num_nodes == {"paper": 10, "v1.venue": 5, "author": 7}
    assert encoder.embedding_dim == {"paper": 8, "v1.venue": 8, "author": 6}
    assert torch.equal(encoder.codes()["paper"], encoder["paper"].codes())
    assert list(encoder.codes()) == list(encoder.code_stats()) == ["paper"]
    with pytest.raises(TypeError, match="no codes for node type 'author'"):
        encoder.codes({"author": n_id})
    features = encoder.coded({"paper": n_id, "author": n_id})
    torch.testing.assert_close(features["paper"].dense(), encoder["paper"](n_id))
    assert torch.equal(features["author"], encoder["author"](n_id))
    stored = encoder.stored_tensors().values()
    assert encoder.inference_bytes() == sum(t.nbytes for t in stored)
    sum(x.square().sum() for x in encoder().values()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    seen = []
    encoder["paper"].coder.restart_dead_codes = seen.append
    encoder.expect_epochs()
    encoder.after_epoch(9)
    assert len(seen) == 1


@pytest.fixture
def data():
    data = HeteroData()
    data["paper"].num_nodes, data["author"].num_nodes = 10, 11
    for edge_type in (
        ("author", "writes", "paper"),
        ("paper", "rev_writes", "author"),
        ("paper", "cites", "paper"),
    ):
        source, target = data[edge_type[0]].num_nodes, data[edge_type[2]].num_nodes
        data[edge_type].edge_index = torch.stack(
            [torch.randint(source, (30,)), torch.randint(target, (30,))]
        )
    return data


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = SAGEConv((-1, -1), 16), SAGEConv((-1, -1), 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def train_and_check(encoder, model, data):
    scores = model(encoder({"paper": None, "author": None}), data.edge_index_dict)
    assert scores["paper"].shape == (10, 3)
    (scores["paper"].sum() + scores["author"].sum()).backward()
    assert encoder["paper"].coder.query.grad.any()
    assert encoder["author"].coder.query.grad.any()


def test_with_to_hetero(data, scramble):
    encoder = make()
    scramble(encoder)
    train_and_check(encoder, to_hetero(Net(), data.metadata()), data)


def test_with_hetero_conv(data, scramble):
    encoder = make()
    scramble(encoder)
    convs = {edge_type: SAGEConv((-1, -1), 3) for edge_type in data.edge_types}
    train_and_check(encoder, HeteroConv(convs), data)


def test_compiles():
    encoder = make().eval()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    n_id_dict = {"paper": torch.tensor([1, 2]), "v1.venue": torch.tensor([0, 3])}
    for name, x in compiled(n_id_dict).items():
        torch.testing.assert_close(x, encoder(n_id_dict)[name])
