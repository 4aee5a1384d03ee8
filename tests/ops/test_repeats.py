"""Ids that repeat are encoded once, and nothing but the time tells."""

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.ops import distinct
from kdgraph.ops import repeats as module

CODERS = ("softmax", "gumbel", "vq", "threshold", "fixed")


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_ids_and_places(backend, monkeypatch):
    if backend == "reference":
        monkeypatch.setenv("KDGRAPH_BACKEND", backend)
    n_id = torch.randint(-5, 300, (9000,)) * 123_456_789_123
    ids, places = distinct(n_id)
    assert torch.equal(ids[places], n_id)
    assert torch.equal(ids.sort().values, n_id.unique())


@pytest.mark.parametrize(
    "n_id", [torch.arange(9000), torch.zeros(100, dtype=torch.long)], ids=["all", "few"]
)
def test_where_it_does_not_pay(n_id):
    assert distinct(n_id) is None


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("coder", CODERS)
def test_the_same_step(coder, norm, dropout, monkeypatch):
    sizes = {"num_codebooks": 4, "codebook_size": 2, "code_dropout": dropout}
    torch.manual_seed(0)
    encoder = KDEmbedding(60, 8, coder=coder, **sizes)
    if norm:
        encoder = KDEmbedding(60, 8, coder=coder, composer=_sum(norm), **sizes)
    n_id, weights = torch.randint(50, (5000, 1)), torch.randn(5000, 1, 8)

    def step():
        torch.manual_seed(1)
        encoder.zero_grad()
        x = encoder(n_id)
        (x * weights).sum().backward()
        return x, [p.grad for p in encoder.parameters()]

    once = step()
    monkeypatch.setattr(module, "FEWEST_IDS", 1 << 40)
    each = step()
    torch.testing.assert_close(once, each, rtol=1e-4, atol=1e-4)


def _sum(norm):
    from kdgraph.composers import SumComposer

    return SumComposer(norm=norm)


def test_ids_are_still_checked():
    encoder = KDEmbedding(60, 8, num_codebooks=4, codebook_size=2)
    with pytest.raises(IndexError, match="from 0 to 60"):
        encoder(torch.arange(61).repeat(100))
