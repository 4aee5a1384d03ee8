"""Evaluation rounds and folds once, and sees every change of what it was made of."""

import copy

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.composers import ConcatComposer, SumComposer
from kdgraph.composers.content_cache import ContentCache


def new(storage="int8", kind=SumComposer, **options):
    torch.manual_seed(0)
    trees = ((2, 3), None) if kind is SumComposer else None
    composer = kind(4, storage=storage, null_code=False, trees=trees, **options)
    return KDEmbedding(
        9, 8, num_codebooks=2, codebook_size=6, coder="fixed", composer=composer
    )


def by_numpy(parameter):
    parameter.detach().numpy()[...] *= 1.5


def by_optimizer(parameter):
    parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD([parameter], lr=0.1).step()


CHANGES = {
    "in place": lambda p: p.detach().mul_(1.5),
    "data": lambda p: p.data.mul_(1.5),
    "set data": lambda p: setattr(p, "data", p.data * 1.5),
    "numpy": by_numpy,
    "optimizer": by_optimizer,
    "inference mode": lambda p: torch.inference_mode()(p.data.mul_)(1.5),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
@pytest.mark.parametrize("storage", [None, "bfloat16", "int8"])
def test_no_change_goes_unseen(storage, kind, change):
    encoder = new(storage, kind).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            before = encoder()
            CHANGES[change](parameter)
            after = encoder()
            assert torch.equal(after, copy.deepcopy(encoder)())
            assert torch.equal(after, encoder.composer(encoder.codes()))
            assert torch.equal(after, encoder.export()())
            assert not torch.equal(after, before)


def test_states_types_and_modes():
    encoder, other = new().eval(), new().eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
        first = encoder()
        encoder.load_state_dict(other.state_dict())
        assert torch.equal(encoder(), other())
        assert not torch.equal(encoder(), first)
        assert encoder.double()().dtype == torch.float64
        assert torch.equal(encoder.float()(), other())
        encoder.train()
        torch.testing.assert_close(encoder(), other())


def test_gradients_in_evaluation():
    encoder = new().eval()
    with torch.no_grad():
        exact = encoder()
    found = encoder()
    assert torch.equal(found, exact)
    found.sum().backward()
    assert all(p.grad.any() for p in encoder.parameters())


def test_nothing_is_made_twice():
    cache, made = ContentCache(), []
    weight = torch.tensor([0.0, float("nan")])
    for _ in range(3):
        cache.get([weight], lambda: made.append(1))
    assert len(made) == 1
    weight[0] = -0.0
    cache.get([weight], lambda: made.append(1))
    assert len(made) == 2
    copy.deepcopy(cache).get([weight], lambda: made.append(1))
    assert len(made) == 3
