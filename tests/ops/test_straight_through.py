"""Straight-through gradients against autograd of the literal formula."""

import pytest
import torch

from kdgraph.ops import (
    Codebooks,
    LogitSelection,
    QuantizedSelection,
    QuerySelection,
    RelaxedSelection,
    Selection,
    nearest_query_codes,
    pad_positions,
    position_offsets,
    query_logits,
    straight_through,
)

F64 = torch.float64
ALPHABETS = [(4, 4, 4), (2, 5, 3)]
TEMPERATURE = torch.tensor(0.7, dtype=F64)


@pytest.fixture(params=ALPHABETS, ids=["uniform", "ragged"])
def sizes(request):
    return request.param


@pytest.fixture(params=["own", "shared"])
def books(request, sizes):
    shared = request.param == "shared"
    rows = max(sizes) if shared else sum(sizes)
    weight = torch.randn(rows, 6, dtype=F64, requires_grad=True)
    offsets = [0] * len(sizes) if shared else position_offsets(sizes)
    return Codebooks(weight, torch.tensor(offsets), sizes)


@pytest.fixture(params=["plain", "scaled"])
def scale(request):
    return torch.rand(9, 3, dtype=F64) if request.param == "scaled" else None


def padded(sizes, fill):
    flat = torch.randn(9, sum(sizes), dtype=F64, requires_grad=True)
    return flat, pad_positions(flat, sizes, fill)


def literal(logits, books, scale, kind):
    """pi + sg(b - pi), multiplied out with the codebooks."""
    soft = torch.softmax(logits / TEMPERATURE, dim=-1)
    hard = torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.size(-1)).to(F64)
    relaxed = soft + (hard - soft).detach()
    if scale is not None:
        relaxed = relaxed * scale.unsqueeze(-1)
    # The codebooks learn from the hard lookup; the logits see them as they are.
    blocks = books.padded()
    vectors = torch.einsum("bdk,dkc->bdc", relaxed, blocks.detach())
    hard = hard if scale is None else hard * scale.unsqueeze(-1)
    by_codebook = torch.einsum("bdk,dkc->bdc", hard, blocks)
    vectors = vectors + by_codebook - by_codebook.detach()
    return vectors.sum(dim=1) if kind == "sum" else vectors


def gradients(vectors, inputs):
    weight = torch.linspace(-1, 1, vectors.numel(), dtype=F64).view_as(vectors)
    return torch.autograd.grad(
        (vectors * weight).sum() + vectors.square().sum(), inputs
    )


@pytest.mark.parametrize("kind", ["sum", "gather"])
def test_logits(sizes, books, scale, kind):
    flat, logits = padded(sizes, float("-inf"))
    selection = LogitSelection(
        logits.argmax(dim=-1), scale, logits=logits, temperature=TEMPERATURE
    )
    found = getattr(selection, kind)(books)
    expected = literal(logits, books, scale, kind)
    torch.testing.assert_close(found, expected)
    inputs = (flat, books.weight)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


@pytest.fixture(params=[1, 30, 1 << 22], ids=["row", "few", "all"])
def _chunked(request, monkeypatch):
    monkeypatch.setattr(straight_through, "CHUNK_ELEMENTS", request.param)


@pytest.mark.usefixtures("_chunked")
@pytest.mark.parametrize("kind", ["sum", "gather"])
def test_queries(sizes, books, scale, kind):
    query = torch.randn(9, 3, 2, dtype=F64, requires_grad=True)
    flat_keys = torch.randn(2, sum(sizes), dtype=F64, requires_grad=True)
    flat_bias = torch.randn(sum(sizes), dtype=F64, requires_grad=True)
    keys = pad_positions(flat_keys, sizes, 0.0).permute(1, 2, 0)
    bias = pad_positions(flat_bias, sizes, float("-inf"))
    logits = query_logits(query, keys, bias)
    codes = nearest_query_codes(query, keys, bias)
    assert torch.equal(codes, logits.argmax(dim=-1))
    selection = QuerySelection(
        codes, scale, query=query, keys=keys, bias=bias, temperature=TEMPERATURE
    )
    found = getattr(selection, kind)(books)
    expected = literal(logits, books, scale, kind)
    torch.testing.assert_close(found, expected)
    inputs = (query, flat_keys, flat_bias, books.weight)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


def test_query_logits_by_hand():
    query = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 1.0], [1.0, -1.0]]])
    bias = torch.tensor([[0.0, 0.5], [0.0, float("-inf")]])
    expected = torch.tensor([[[1.0, 2.5], [1.0, float("-inf")]]])
    assert torch.equal(query_logits(query, keys, bias), expected)


def test_gradcheck_of_the_soft_mixture(sizes, books):
    flat, logits = padded(sizes, float("-inf"))
    codes = logits.argmax(dim=-1)

    def mixture(kind):
        def run(flat, weight):
            soft = torch.softmax(pad_positions(flat, sizes, float("-inf")), dim=-1)
            selection = RelaxedSelection(codes, weights=soft)
            return getattr(selection, kind)(books._replace(weight=weight))

        return run

    for kind in ("sum", "gather"):
        assert torch.autograd.gradcheck(mixture(kind), (flat, books.weight))


def test_mixture_of_one_hot_weights_is_the_lookup(sizes, books, scale):
    _, logits = padded(sizes, float("-inf"))
    codes = logits.argmax(dim=-1)
    weights = torch.nn.functional.one_hot(codes, max(sizes)).to(F64)
    soft = RelaxedSelection(codes, scale, weights=weights)
    hard = Selection(codes, scale)
    torch.testing.assert_close(soft.sum(books), hard.sum(books))
    torch.testing.assert_close(soft.gather(books), hard.gather(books))


@pytest.mark.parametrize("kind", ["sum", "gather"])
def test_quantized_copies_the_gradient(sizes, books, scale, kind):
    codes = torch.stack([torch.randint(size, (9,)) for size in sizes], dim=1)
    query = torch.randn(9, 3, 6, dtype=F64, requires_grad=True)
    found = getattr(QuantizedSelection(codes, scale, query=query), kind)(books)
    assert torch.equal(found, getattr(Selection(codes, scale), kind)(books))
    upstream = torch.randn_like(found)
    (grad,) = torch.autograd.grad(found, query, upstream)
    each = upstream.unsqueeze(1).expand(9, 3, 6) if kind == "sum" else upstream
    expected = each if scale is None else each * scale.unsqueeze(-1)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropped_positions_keep_the_dtype(dtype):
    books = Codebooks(torch.randn(8, 4).to(dtype), torch.tensor([0, 4]), (4, 4))
    codes = torch.randint(4, (500, 2))
    dropped = Selection(codes).drop(0.25)
    assert dropped.scale.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert abs(float((dropped.scale == 0).float().mean()) - 0.25) < 0.06
    for kind in ("sum", "gather"):
        assert getattr(dropped, kind)(books).dtype == dtype
    full = Selection(codes).gather(books)
    kept = dropped.scale > 0
    torch.testing.assert_close(
        dropped.gather(books)[kept],
        (full[kept] * (1 / 0.75)).to(dtype),
        rtol=0.02,
        atol=0.02,
    )
    assert not dropped.gather(books)[~kept].any()


def test_hard_codes_have_no_scores():
    selection = Selection(torch.zeros(2, 2, dtype=torch.long))
    assert selection.scores() is None
    assert selection.probabilities() is None
