"""Class targets against formulas written out."""

import math

import pytest
import torch
from torch.nn import functional

from kdgraph.guidance import ClassTargets


def test_confidences_by_hand():
    scores = torch.tensor([[0.1, 0.3], [4.0, 4.0], [0.0, 0.0], [0.0, 5.0]])
    targets = ClassTargets.from_scores(scores)
    assert targets.classes.tolist() == [1, 0, 0, 1]
    torch.testing.assert_close(
        targets.confidences.float(),
        torch.tensor([0.9, 0.5, 0.0, 1.0]),
        atol=5e-4,
        rtol=0,
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_confidences_are_the_sharpened_top(temperature):
    scores = torch.rand(50, 7)
    targets = ClassTargets.from_scores(scores, temperature)
    sharp = scores.double() ** (1 / temperature)
    top, best = (sharp / sharp.sum(dim=1, keepdim=True)).max(dim=1)
    assert torch.equal(targets.classes.long(), best)
    torch.testing.assert_close(targets.confidences, top.half())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(scale):
    scores = torch.rand(50, 7)
    first = ClassTargets.from_scores(scores)
    second = ClassTargets.from_scores(scores * scale)
    assert torch.equal(first.classes, second.classes)
    torch.testing.assert_close(first.confidences, second.confidences)


def test_chunks_are_one(monkeypatch):
    scores = torch.rand(50, 7)
    whole = ClassTargets.from_scores(scores)
    monkeypatch.setattr("kdgraph.guidance.class_targets._CHUNK_ROWS", 8)
    chunked = ClassTargets.from_scores(scores)
    assert torch.equal(whole.classes, chunked.classes)
    assert torch.equal(whole.confidences, chunked.confidences)


@pytest.mark.parametrize(("num_classes", "per_node"), [(2, 3), (256, 3), (257, 4)])
def test_bytes_by_hand(num_classes, per_node):
    targets = ClassTargets(1000, num_classes)
    assert targets.training_bytes() == per_node * 1000
    assert not list(targets.parameters())
    held = sum(b.numel() * b.element_size() for b in targets.buffers())
    assert targets.training_bytes() == held


@pytest.mark.parametrize("num_classes", [256, 257, 1 << 15])
def test_the_last_class_fits(num_classes):
    scores = torch.zeros(2, num_classes)
    scores[0, -1] = 1.0
    scores[1] = 1.0
    targets = ClassTargets.from_scores(scores)
    assert targets.classes.tolist() == [num_classes - 1, 0]
    assert float(targets.confidences[1]) == pytest.approx(1 / num_classes, rel=1e-3)


def test_loss_by_hand():
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    logits = torch.randn(3, 3, requires_grad=True)
    loss = ClassTargets.from_scores(scores, weight=0.7)(logits)
    log = logits.detach().log_softmax(dim=1)
    expected = -0.7 * (1.0 * log[0, 0] + 0.5 * log[2, 1]) / 2
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()  # no score, no pull
    slope = (log[2].exp() - functional.one_hot(torch.tensor(1), 3)) * 0.7 * 0.5 / 2
    torch.testing.assert_close(logits.grad[2], slope)


def test_loss_does_not_depend_on_the_order():
    scores, logits, order = torch.rand(20, 4), torch.randn(20, 4), torch.randperm(20)
    whole = ClassTargets.from_scores(scores)(logits)
    torch.testing.assert_close(
        ClassTargets.from_scores(scores[order])(logits[order]), whole
    )


def test_batches_average_to_the_whole():
    targets, logits = ClassTargets.from_scores(torch.rand(20, 4)), torch.randn(20, 4)
    parts = [targets(logits[n_id], n_id) for n_id in torch.randperm(20).split(5)]
    torch.testing.assert_close(torch.stack(parts).mean(), targets(logits))


def test_no_targets_no_loss():
    logits = torch.randn(6, 3, requires_grad=True)
    loss = ClassTargets(6, 3)(logits)
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_learning_follows_the_targets():
    scores = torch.rand(30, 4)
    targets = ClassTargets.from_scores(scores)
    logits = torch.zeros(30, 4, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=30.0)
    for _ in range(20):
        optimizer.zero_grad()
        targets(logits).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(dim=1), scores.argmax(dim=1))


def test_state_is_kept_and_replaced():
    targets = ClassTargets.from_scores(torch.rand(9, 4))
    fresh = ClassTargets(9, 4)
    fresh.load_state_dict(targets.state_dict())
    logits = torch.randn(9, 4)
    assert torch.equal(fresh(logits), targets(logits))
    other = torch.rand(9, 4)
    fresh.set_scores(other)
    assert torch.equal(fresh(logits), ClassTargets.from_scores(other)(logits))


def test_counts_without_memory():
    with torch.device("meta"):
        assert ClassTargets(10**12, 40).training_bytes() == 3 * 10**12


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (torch.zeros(5), r"scores of shape \[N, T\], got \[5\]"),
        (torch.tensor([[1.0, -0.5]]), "at least 0, got -0.5 to 1.0; give probab"),
        (torch.tensor([[1.0, math.nan]]), "finite and at least 0"),
        (torch.tensor([[1.0, math.inf]]), "finite and at least 0"),
        (torch.zeros(3, 0), r"num_classes in \[1, 32768\], got 3 and 0"),
        (torch.zeros(1, 32769), r"num_classes in \[1, 32768\], got 1 and 32769"),
    ],
)
def test_refused_scores(scores, sentence):
    with pytest.raises(ValueError, match=f"ClassTargets expects .*{sentence}"):
        ClassTargets.from_scores(scores)


def test_refused_scores_leave_the_old():
    targets = ClassTargets.from_scores(torch.rand(4, 3))
    before = targets.classes.clone(), targets.confidences.clone()
    for wrong in (torch.rand(4, 2), -torch.rand(4, 3)):
        with pytest.raises(ValueError, match="ClassTargets expects scores"):
            targets.set_scores(wrong)
    assert torch.equal(targets.classes, before[0])
    assert torch.equal(targets.confidences, before[1])


@pytest.mark.parametrize(
    "options",
    [{"weight": -1.0}, {"weight": math.inf}, {"temperature": 0.0}, {"temperature": -1}],
    ids=str,
)
def test_refused_numbers(options):
    with pytest.raises(ValueError, match="weight of at least 0 and temperature above"):
        ClassTargets(4, 3, **options)


@pytest.mark.parametrize("shape", [(4, 2), (3, 3), (4,)])
def test_refused_logits(shape):
    with pytest.raises(ValueError, match=r"logits of shape \[4, 3\], got \["):
        ClassTargets(4, 3)(torch.zeros(shape))


def test_repr_says_what():
    expected = "ClassTargets(4, 3, weight=2.0, temperature=0.5)"
    assert repr(ClassTargets(4, 3, weight=2.0)) == expected
