"""Distillation and regularisation against formulas written out."""

import math

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.coders import GumbelCoder, SoftmaxCoder, ThresholdCoder, VQCoder
from kdgraph.guidance import (
    AutoEncoding,
    ConstantSchedule,
    EntropyRegularization,
    ExponentialSchedule,
    OnlineDistillation,
    PretrainedDistillation,
    TemperatureSchedule,
)

SIZES = (2, 6, 3, 5)
N_ID = torch.tensor([3, 22, 0, 7])


def make(coder=None, size=SIZES, num_nodes=23, dim=8):
    return KDEmbedding(
        num_nodes,
        dim,
        num_codebooks=4,
        codebook_size=size,
        coder=coder or SoftmaxCoder("free"),
    )


# --- online ---------------------------------------------------------------------------


def test_online_shows_rows_of_both():
    encoder, guidance = make(num_nodes=4000), OnlineDistillation((4000, 8), mix=0.3)
    encoding = encoder.encode()
    guided = guidance(encoding)
    student = (guided.x == encoding.x).all(dim=1)
    teacher = (guided.x == guidance.teacher()).all(dim=1)
    assert (student ^ teacher).all()  # every row is one or the other, never a blend
    assert abs(float(student.float().mean()) - 0.3) < 0.04
    assert guided.selection is encoding.selection


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_online_at_the_ends(mix):
    encoder, guidance = make(), OnlineDistillation((23, 8), mix=mix)
    encoding = encoder.encode(N_ID)
    guided = guidance(encoding, N_ID)
    both = (encoding.x + guidance.teacher(N_ID)) / 2
    torch.testing.assert_close(guided.x, both if mix == 0.0 else encoding.x)


def test_online_pull_by_hand(scramble):
    encoder, guidance = make(VQCoder()), OnlineDistillation((23, 8), weight=0.7)
    scramble(encoder)
    encoding = encoder.encode(N_ID)
    guided = guidance(encoding, N_ID)
    teacher = guidance.teacher.weight[N_ID].detach()
    pull = 0.7 * ((encoding.x - teacher) ** 2).sum() / (4 * 8)
    torch.testing.assert_close(guided.penalty, encoding.penalty + pull)
    guided.penalty.backward()
    assert guidance.teacher.weight.grad is None  # the pull moves the student only


def test_online_gradients_of_the_batch_only():
    encoder, guidance = make(), OnlineDistillation((23, 8), mix=0.0)
    guided = guidance(encoder.encode(N_ID), N_ID)
    (guided.x.sum() + guided.penalty).backward()
    for table in (guidance.teacher.weight, encoder.coder.logits):
        touched = table.grad.any(dim=1).nonzero().flatten()
        assert touched.tolist() == sorted(N_ID.tolist())


def test_online_teacher_stays_outside():
    encoder, guidance = make(), OnlineDistillation((23, 8))
    keys = set(encoder.state_dict())
    guidance(encoder.encode())
    assert set(encoder.state_dict()) == keys
    assert set(guidance.state_dict()) == {"teacher.weight"}
    assert guidance.training_bytes("adam") == 16 * 23 * 8
    assert guidance.training_bytes("sgd") == 8 * 23 * 8


def test_online_in_evaluation_and_after_reset():
    encoder, guidance = make(), OnlineDistillation((23, 8)).eval()
    encoding = encoder.encode()
    assert guidance(encoding) is encoding
    before = guidance.teacher.weight.clone()
    guidance.reset_parameters()
    assert not torch.equal(guidance.teacher.weight, before)


def test_online_follows_schedules():
    guidance = OnlineDistillation(
        (23, 8), weight=ExponentialSchedule(4.0, 0.5), mix=ConstantSchedule(1.0)
    )
    encoding = make().encode()
    first = guidance(encoding).penalty
    guidance.set_progress(2)
    torch.testing.assert_close(guidance(encoding).penalty, first / 4)


def test_any_encoder_teaches():
    teacher = make(VQCoder())
    guidance = OnlineDistillation(teacher, weight=0.0)
    guided = guidance(make().encode())
    torch.testing.assert_close(guided.penalty, teacher.encode().penalty)
    assert OnlineDistillation(LowRankEmbedding(23, 8, 2)).teacher.rank == 2


def test_online_errors():
    with pytest.raises(TypeError, match="Encoder or as"):
        OnlineDistillation(torch.zeros(23, 8))
    with pytest.raises(ValueError, match="mix in"):
        OnlineDistillation((23, 8), mix=1.5)
    with pytest.raises(ValueError, match="must agree"):
        OnlineDistillation((23, 4))(make().encode())


# --- pre-trained ----------------------------------------------------------------------


def test_pretrained_pull_by_hand():
    teacher = torch.randn(23, 8)
    encoder, guidance = make(), PretrainedDistillation(teacher, weight=3.0)
    encoding = encoder.encode(N_ID)
    guided = guidance(encoding, N_ID)
    assert guided.x is encoding.x
    pull = 3.0 * ((encoding.x - teacher[N_ID]) ** 2).sum() / (4 * 8)
    torch.testing.assert_close(guided.penalty, pull)
    assert guidance.eval()(encoding, N_ID) is encoding


def test_pretrained_teacher_is_frozen_and_a_copy():
    source = FullEmbedding(23, 8)
    guidance = PretrainedDistillation(source)
    assert not any(p.requires_grad for p in guidance.parameters())
    with torch.no_grad():
        source.weight.zero_()
    assert guidance.teacher.weight.any()
    guidance.reset_parameters()
    assert guidance.teacher.weight.any()
    assert source.weight.requires_grad
    assert guidance.training_bytes("adam") == 4 * 23 * 8  # no gradient, no state
    coded = PretrainedDistillation(make())
    assert coded.training_bytes("adam") < 23 * 8 * 4


def test_pretrained_errors():
    with pytest.raises(TypeError, match="float vectors"):
        PretrainedDistillation([[1.0]])
    with pytest.raises(TypeError, match="int64"):
        PretrainedDistillation(torch.zeros(23, 8).long())
    with pytest.raises(ValueError, match="finite"):
        PretrainedDistillation(torch.full((23, 8), float("nan")))
    with pytest.raises(ValueError, match="finite"):
        PretrainedDistillation(torch.zeros(23))
    with pytest.raises(ValueError, match="must agree"):
        PretrainedDistillation(torch.zeros(23, 4))(make().encode())


@pytest.mark.parametrize("query_dim", ["free", 2])
@pytest.mark.parametrize("size", [4, SIZES], ids=["uniform", "ragged"])
def test_auto_encoding_by_hand(query_dim, size, scramble):
    encoder = make(SoftmaxCoder(query_dim), size)
    scramble(encoder)
    extra = AutoEncoding(
        encoder, reconstruction_weight=0.3, logit_weight=0.2, hidden_dim=5
    )
    teacher = torch.randn(23, 8)
    guidance = PretrainedDistillation(teacher, weight=0.0, auto_encoding=extra)
    encoding = encoder.encode(N_ID)
    found = guidance(encoding, N_ID).penalty
    first, _, last = extra.network
    hidden = torch.tanh(teacher[N_ID] @ first.weight.t() + first.bias)
    predicted = hidden @ last.weight.t() + last.bias
    parts = torch.split(predicted, list(encoder.codebook_sizes), dim=1)
    codes = torch.stack([part.argmax(dim=1) for part in parts], dim=1)
    again = ((encoder.composer(codes) - teacher[N_ID]) ** 2).mean()
    scores = encoding.selection.scores()
    real = torch.cat(
        [scores[:, j, :k] for j, k in enumerate(encoder.codebook_sizes)], dim=1
    )
    match = ((predicted - real) ** 2).mean()
    torch.testing.assert_close(found, 0.3 * again + 0.2 * match)
    found.backward()
    owned = list(extra.parameters())
    assert len(owned) == 4  # the student's are referred to, not owned
    for parameter in [*owned, *encoder.parameters()]:
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any()
    trained = 4 * 4 * sum(parameter.numel() for parameter in owned)
    assert guidance.training_bytes("adam") == trained + 4 * 23 * 8
    before = first.weight.clone()
    guidance.reset_parameters()
    assert not torch.equal(first.weight, before)


def test_auto_encoding_errors():
    with pytest.raises(TypeError, match="FullEmbedding"):
        AutoEncoding(FullEmbedding(23, 8))
    encoder = make(VQCoder())
    guidance = PretrainedDistillation(
        torch.zeros(23, 8), auto_encoding=AutoEncoding(encoder)
    )
    with pytest.raises(ValueError, match="SoftmaxCoder"):
        guidance(encoder.encode())


# --- entropy --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coder",
    [
        SoftmaxCoder("free", temperature=0.5),
        SoftmaxCoder(2),
        GumbelCoder("free"),
        GumbelCoder("free", hard=False),
        ThresholdCoder(),
    ],
    ids=repr,
)
def test_entropy_by_hand(coder, scramble):
    encoder = make(coder, 2 if isinstance(coder, ThresholdCoder) else SIZES)
    scramble(encoder)
    encoding = encoder.encode(N_ID)
    found = EntropyRegularization(0.4)(encoding, N_ID).penalty
    total = 0.0
    for row in encoding.selection.probabilities().tolist():
        for position in row:
            total -= sum(p * math.log(p) for p in position if p > 0)
    assert float(found.detach()) == pytest.approx(0.4 * total / (4 * 4), rel=1e-4)
    found.backward()
    for parameter in encoder.coder.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any()


def test_entropy_of_a_corner_has_a_finite_gradient():
    encoder = make(SoftmaxCoder("free", scale=1.0))
    with torch.no_grad():
        encoder.coder.logits.mul_(0.0)
        encoder.coder.logits[:, ::2] = 1e4  # chances of exactly zero and one
    EntropyRegularization(1.0)(encoder.encode()).penalty.backward()
    assert torch.isfinite(encoder.coder.logits.grad).all()


def test_entropy_in_evaluation_and_without_rows():
    encoder = make()
    encoding = encoder.encode()
    guidance = EntropyRegularization(ExponentialSchedule(1.0, 0.5))
    first = guidance(encoding).penalty
    guidance.set_progress(1)
    torch.testing.assert_close(guidance(encoding).penalty, first / 2)
    assert guidance.eval()(encoding) is encoding
    empty = encoder.encode(torch.empty(0, dtype=torch.long))
    assert guidance.train()(empty) is empty


@pytest.mark.parametrize(
    "make_encoder", [lambda: make(VQCoder()), lambda: FullEmbedding(3, 2)]
)
def test_entropy_needs_a_relaxed_choice(make_encoder):
    with pytest.raises(ValueError, match="relaxed choice"):
        EntropyRegularization()(make_encoder().encode())


def test_companions_chain():
    encoder = make()
    guides = [OnlineDistillation((23, 8)), EntropyRegularization(0.1)]
    encoding = encoder.encode(N_ID)
    for guide in guides:
        encoding = guide(encoding, N_ID)
    (encoding.x.sum() + encoding.penalty).backward()
    assert encoder.coder.logits.grad.any()


def test_schedules_move_where_nobody_moves_them():
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=3)
    schedule = ExponentialSchedule(1.0, 0.5)
    TemperatureSchedule(encoder.coder, schedule)
    found = []
    for _ in range(3):
        encoder()
        found.append(float(encoder.coder.temperature))
    encoder.eval()()
    assert found == [1.0, 0.5, 0.25]
    assert float(encoder.coder.temperature) == 0.25
    guides = (
        EntropyRegularization(schedule),
        PretrainedDistillation(torch.randn(9, 8), weight=schedule),
    )
    for guide in guides:
        weights = []
        for _ in range(3):
            guide(encoder.encode())
            weights.append(guide._weight)
        assert weights == [1.0, 0.5, 0.25]
        guide.set_progress(1)
        guide(encoder.encode())
        assert guide._weight == 0.5


def test_guidance_that_the_loss_leaves_out_is_named():
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=3)
    guidance = OnlineDistillation((9, 8))
    for _ in range(2):
        encoding = guidance(encoder.encode())
        (encoding.x.sum() + encoding.penalty).backward()
    guidance(encoder.encode()).x.sum().backward()
    with pytest.warns(UserWarning, match="OnlineDistillation has terms of the loss"):
        guidance(encoder.encode())
