"""What is frozen stays frozen, whatever the model around it does."""

import json
import struct

import numpy as np
import pytest
import torch

from kdgraph import KDEmbedding, PackedEmbedding
from kdgraph.baselines import LabelPropagation
from kdgraph.coders import FixedCoder, SoftmaxCoder
from kdgraph.composers import ConcatComposer, SumComposer
from kdgraph.data import build_adjacency
from kdgraph.guidance import PretrainedDistillation
from kdgraph.training import load_classifier


def make(**options):
    return KDEmbedding(40, 16, num_codebooks=8, codebook_size=5, **options)


@pytest.fixture
def trained():
    encoder = make(composer=SumComposer(norm="batch"))
    for _ in range(3):
        encoder()  # moves the running statistics
    return encoder


def test_packed_ignores_train_mode(trained):
    packed = trained.export()
    before = packed()
    model = torch.nn.Sequential(packed).train()
    assert torch.equal(packed(torch.arange(5)), before[:5])
    assert not packed.training
    model.eval()
    assert torch.equal(packed(), before)


def test_teacher_ignores_train_mode(trained):
    guidance = PretrainedDistillation(trained).train()
    assert guidance.training
    whole = guidance.teacher()
    assert torch.equal(guidance.teacher(torch.arange(3)), whole[:3])


def test_null_codes_stay_zero_in_what_is_stored():
    encoder = make(composer=ConcatComposer())
    with torch.no_grad():
        encoder.composer.weight.normal_()  # as loading other weights would
    encoder.eval()
    packed = encoder.export()
    assert torch.equal(packed(), encoder())
    assert not packed.composer.weight[packed.composer.offsets].any()


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_codes_do_not_depend_on_the_batch(width):
    encoder = KDEmbedding(
        300, 16, num_codebooks=8, codebook_size=16, coder=SoftmaxCoder(width)
    ).eval()
    with torch.no_grad():
        encoder.coder.query.normal_()
    whole = encoder.coder(None, encoder.composer.codebooks).scores()
    alone = [
        encoder.coder(torch.tensor([node]), encoder.composer.codebooks).scores()
        for node in range(0, 300, 37)
    ]
    assert torch.equal(torch.cat(alone), whole[::37])


def test_numpy_is_welcome():
    codes = np.array([[0, 1], [2, 0]])
    encoder = KDEmbedding(2, 4, coder=FixedCoder(codes))
    assert encoder.codes().tolist() == codes.tolist()
    sizes = KDEmbedding(5, 4, num_codebooks=2, codebook_size=np.array([3, 4]))
    assert sizes.codebook_sizes == (3, 4)


def test_unlabelled_training_nodes_do_not_vote():
    adjacency = build_adjacency(np.array([[0, 1], [1, 2]]), 3)
    y = torch.tensor([0, -1, 0])
    scores = LabelPropagation()(adjacency, y, torch.tensor([0, 1]), num_classes=2)
    assert (scores[:, 1] == 0).all()


def test_absurd_depth_is_refused_at_once(tmp_path):
    path = tmp_path / "deep"
    config = {"method": "kd", "num_layers": 10**7, "hidden_dim": 8}
    metadata = {"config": config, "num_classes": 3}
    make().export().save(path, gnn={"a": torch.zeros(2)}, metadata=metadata)
    with pytest.raises(ValueError, match="layers, but 1 tensors") as refused:
        load_classifier(path)
    assert len(str(refused.value)) < 600


def test_header_is_small(tmp_path):
    path = tmp_path / "small"
    encoder = make().export()
    encoder.save(path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert json.loads(data[8 : 8 + length])["__metadata__"]["format"]
    assert len(data) == encoder.inference_bytes() + 8 + length < 4096
    assert torch.equal(PackedEmbedding.load(path)(), encoder())
