"""Training in 8 bits against a loop in float64, draw by draw and on average."""

import copy
import io

import pytest
import torch

from kdgraph.baselines import Int8Embedding


def step_of(encoder):
    return torch.pow(2.0, encoder.exponents.double()).unsqueeze(1)


def moved(table, sums, n_id, gradient, lr, decay=0.0):
    """Row-wise Adagrad, node by node in float64."""
    table, sums = table.double().clone(), sums.double().clone()
    for node in {int(node) for node in n_id}:
        slope = torch.zeros(table.size(1), dtype=torch.float64)
        for at, other in enumerate(n_id.tolist()):
            if other == node:
                slope += gradient[at].double()
        slope += decay * table[node]
        sums[node] += (slope**2).sum() / slope.numel()
        table[node] -= lr * slope / (sums[node].sqrt() + 1e-8)
    return table, sums


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("ids", [None, [4, 1, 7], [4, 1, 4, 4, 0, 1]])
def test_a_backward_pass_is_the_loop(ids, decay):
    encoder = Int8Embedding(9, 5, lr=0.03, weight_decay=decay)
    encoder.sums.uniform_(0.0, 2.0)
    n_id = None if ids is None else torch.tensor(ids)
    every = torch.arange(9) if ids is None else n_id
    before, sums = encoder().detach().clone(), encoder.sums.clone()
    gradient = torch.randn(len(every), 5)
    expected, expected_sums = moved(before, sums, every, gradient, 0.03, decay)
    (encoder(n_id) * gradient).sum().backward()
    torch.testing.assert_close(encoder.sums, expected_sums.float())
    off = (encoder().detach().double() - expected).abs()
    assert bool((off < step_of(encoder) * (1 + 1e-5)).all())
    left = [node for node in range(9) if node not in every.tolist()]
    assert torch.equal(encoder().detach()[left], before[left])


def test_rounding_is_right_on_average():
    encoder = Int8Embedding(3, 4, lr=0.01)
    before, gradient = encoder().detach().clone(), torch.randn(3, 4)
    expected, _ = moved(before, encoder.sums, torch.arange(3), gradient, 0.01)
    draws = []
    for _ in range(600):
        one = copy.deepcopy(encoder)
        one.move(None, gradient)
        draws.append(one().detach().double())
    mean, step = torch.stack(draws).mean(dim=0), step_of(one)
    # A draw deviates by at most half a step, the mean of 600 by a fiftieth.
    assert bool(((mean - expected).abs() < 0.1 * step).all())
    assert float(torch.stack(draws).std(dim=0).max()) > 0


def test_steps_are_the_smallest_powers_of_two():
    encoder = Int8Embedding(4, 2)
    rows = torch.tensor([[127.0, -3.0], [127.5, 0.0], [0.0, 0.0], [-0.25, 0.125]])
    encoder._keep(slice(None), rows)
    assert encoder.exponents.tolist() == [0, 1, 0, -8]
    assert torch.equal(encoder()[[0, 2, 3]], rows[[0, 2, 3]])
    assert encoder()[1, 0] in (126.0, 127.0, 128.0)


def test_rows_without_a_gradient_are_not_rounded_again():
    encoder = Int8Embedding(20, 6)
    before = encoder().detach().clone()
    for _ in range(5):
        encoder.move(None, torch.zeros(20, 6))
    assert torch.equal(encoder(), before)


def test_it_learns_a_table():
    encoder = Int8Embedding(30, 8, lr=0.2)
    target = torch.randn(30, 8)
    for _ in range(300):
        (encoder() - target).square().sum().backward()
    off = (encoder().detach().double() - target.double()).abs()
    assert bool((off < 8 * step_of(encoder)).all())
    assert float(off.mean()) < 0.02


def test_rows_move_in_training_alone_and_once():
    encoder = Int8Embedding(10, 4)
    before = encoder().detach().clone()
    x = encoder()
    x.sum().backward(retain_graph=True)
    after = encoder().detach().clone()
    assert not torch.equal(after, before)
    x.sum().backward()
    assert torch.equal(encoder(), after)
    with torch.no_grad():
        assert not encoder().requires_grad
    assert not encoder.eval()().requires_grad
    assert not encoder.export().train()().requires_grad
    assert encoder.train()().requires_grad


def test_chunks_do_not_show(monkeypatch):
    encoder = Int8Embedding(50, 6)
    monkeypatch.setattr("kdgraph.ops.straight_through.CHUNK_ELEMENTS", 60)
    before, gradient = encoder().detach().clone(), torch.randn(50, 6)
    expected, _ = moved(before, encoder.sums, torch.arange(50), gradient, 0.05)
    encoder.move(torch.arange(50), gradient)
    off = (encoder().detach().double() - expected).abs()
    assert bool((off < step_of(encoder) * (1 + 1e-5)).all())


def test_training_goes_on_from_a_state():
    encoder = Int8Embedding(10, 4)
    encoder().square().sum().backward()
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    file.seek(0)
    other = Int8Embedding(10, 4)
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (encoder, other):
        torch.manual_seed(3)
        one().square().sum().backward()
    assert torch.equal(encoder(), other())
    assert torch.equal(encoder.sums, other.sums)


def test_bytes():
    encoder = Int8Embedding(30, 7)
    assert encoder.inference_bytes() == 30 * 8
    assert encoder.training_bytes("adam") == 30 * (7 + 1 + 4)
    assert not list(encoder.parameters())
    with torch.device("meta"):
        large = Int8Embedding.within(10**9 * 8, 10**9, 7)
    assert large.inference_bytes() == 10**9 * 8
    with pytest.raises(ValueError, match="Int8Embedding.*240 bytes"):
        Int8Embedding.within(239, 30, 7)


def test_it_starts_like_a_full_table():
    encoder = Int8Embedding(2000, 32)
    limit = (6 / 2032) ** 0.5
    x = encoder().detach()
    assert float(x.abs().max()) < limit * 1.02
    assert float(x.var()) == pytest.approx(limit**2 / 3, rel=0.03)
    encoder.reset_parameters()
    assert not torch.equal(encoder(), x)


def test_other_types():
    encoder = Int8Embedding(10, 4)
    exact = encoder.eval()()
    assert torch.equal(copy.deepcopy(encoder).bfloat16()(), exact.bfloat16())
    assert torch.equal(copy.deepcopy(encoder).bfloat16()().float(), exact)
    double = copy.deepcopy(encoder).double().train()
    double().sum().backward()
    assert double().dtype == torch.float64
    assert not torch.equal(double().float(), exact)


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"weight_decay": -1.0}], ids=str)
def test_errors(options):
    with pytest.raises(ValueError, match="Int8Embedding"):
        Int8Embedding(3, 2, **options)
