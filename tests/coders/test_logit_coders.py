"""Softmax, threshold and Gumbel codes against loops and closed forms."""

import math

import pytest
import torch
from torch import nn

from kdgraph import KDEmbedding
from kdgraph.coders import GumbelCoder, SoftmaxCoder, ThresholdCoder
from kdgraph.coders.logit_norm import LogitNorm
from kdgraph.ops import LogitSelection, position_offsets

SIZES = (2, 6, 3, 5)
F64 = torch.float64


def make(coder, size=SIZES, composer="concat", num_nodes=30, dim=8):
    positions = 4 if isinstance(size, int) else len(size)
    return KDEmbedding(
        num_nodes,
        dim,
        num_codebooks=positions,
        codebook_size=size,
        coder=coder,
        composer=composer,
    )


def by_position(flat):
    return torch.split(flat, list(SIZES), dim=-1)


def naive_logits(coder):
    """``[N, sum(K_j)]``, node by node and choice by choice."""
    rows = []
    for node in range(coder.num_nodes):
        row = []
        for position, first in enumerate(position_offsets(SIZES)):
            for choice in range(SIZES[position]):
                if coder.query_dim == "free":
                    score = coder.logits[node, first + choice]
                else:
                    start = position * coder.query_dim
                    query = coder.query[node, start : start + coder.query_dim]
                    score = (query * coder.keys[first + choice]).sum()
                row.append(coder.scale * score + coder.head_start[first + choice])
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("query_dim", ["free", 1, 3])
def test_softmax_codes_and_chances(query_dim, scramble):
    encoder = make(SoftmaxCoder(query_dim, temperature=0.6, scale=1.5))
    scramble(encoder)
    coder = encoder.coder
    logits = naive_logits(coder)
    codes = torch.stack([part.argmax(dim=1) for part in by_position(logits)], dim=1)
    selection = encoder.encode().selection
    assert torch.equal(selection.codes, codes)
    assert torch.equal(encoder.codes(), codes)
    chances = selection.probabilities()
    scores = selection.scores()
    for position, part in enumerate(by_position(logits)):
        size = SIZES[position]
        torch.testing.assert_close(scores[:, position, :size], part)
        torch.testing.assert_close(
            chances[:, position, :size], torch.softmax(part / 0.6, dim=1)
        )
        assert not chances[:, position, size:].any()


@pytest.mark.parametrize("composer", ["sum", "concat"])
def test_threshold_is_softmax_of_two_logits(composer):
    one = make(ThresholdCoder(temperature=0.7, scale=2.0), 2, composer)
    two = make(SoftmaxCoder("free", temperature=0.7, scale=2.0), 2, composer)
    with torch.no_grad():
        one.coder.logits.normal_()
        # The difference of the two, with the head start that softmax gives choice 0.
        two.coder.logits.zero_()
        start = two.coder.head_start[::2] / 2.0
        two.coder.logits[:, 1::2] = one.coder.logits + start
        two.composer.load_state_dict(one.composer.state_dict())
    x, y = one(), two()
    assert torch.equal(x, y)
    upstream = torch.randn_like(x)
    (x * upstream).sum().backward()
    (y * upstream).sum().backward()
    torch.testing.assert_close(one.coder.logits.grad, two.coder.logits.grad[:, 1::2])
    torch.testing.assert_close(one.composer.weight.grad, two.composer.weight.grad)


@pytest.mark.parametrize(
    "coder",
    [
        SoftmaxCoder("free"),
        SoftmaxCoder(1),
        SoftmaxCoder(4),
        GumbelCoder("free"),
        ThresholdCoder(),
    ],
    ids=repr,
)
def test_cold_start_is_the_null_code(coder):
    size = 2 if isinstance(coder, ThresholdCoder) else 4
    encoder = make(coder, size, num_nodes=2000)
    codes = encoder.codes()
    assert float((codes == 0).float().mean()) > 0.8
    assert int((codes != 0).sum()) > 0
    encoder.eval()
    silent = (codes == 0).all(dim=1)
    assert not encoder()[silent].any()


def test_temperature_returns_on_reset():
    encoder = make(SoftmaxCoder("free", temperature=2.0))
    encoder.coder.temperature.fill_(0.1)
    assert "temperature=2.0" in repr(encoder)
    encoder.reset_parameters()
    assert float(encoder.coder.temperature) == 2.0


def test_gradient_does_not_see_a_temperature_that_changes_later(scramble):
    encoder = make(SoftmaxCoder("free", temperature=2.0))
    scramble(encoder)
    x = encoder()
    (expected,) = torch.autograd.grad(x.sum(), encoder.coder.logits, retain_graph=True)
    encoder.coder.temperature.fill_(0.01)
    (found,) = torch.autograd.grad(x.sum(), encoder.coder.logits)
    assert torch.equal(found, expected)


# --- Gumbel ---------------------------------------------------------------------------


@pytest.mark.parametrize("query_dim", ["free", 2])
def test_gumbel_frequencies_are_the_softmax(query_dim, scramble):
    encoder = make(GumbelCoder(query_dim, scale=1.0, temperature=0.3), num_nodes=2)
    scramble(encoder)
    draws = 4000
    ids = torch.zeros(draws, dtype=torch.long)
    codes = encoder.encode(ids).selection.codes
    logits = naive_logits(encoder.coder)[0]
    for position, part in enumerate(by_position(logits)):
        size = SIZES[position]
        # The temperature relaxes; it does not change what is drawn.
        expected = torch.softmax(part.detach(), dim=0) * draws
        counts = torch.bincount(codes[:, position], minlength=size)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < (size - 1) + 5 * math.sqrt(2 * (size - 1))


def test_gumbel_evaluation_has_no_noise(scramble):
    encoder = make(GumbelCoder("free")).eval()
    scramble(encoder)
    logits = naive_logits(encoder.coder)
    best = torch.stack([part.argmax(dim=1) for part in by_position(logits)], dim=1)
    state = torch.get_rng_state()
    assert torch.equal(encoder.encode().selection.codes, best)
    assert torch.equal(encoder.codes(), best)
    assert torch.equal(torch.get_rng_state(), state)


def test_gumbel_soft_sees_the_mixture(scramble):
    encoder = make(GumbelCoder("free", hard=False, temperature=0.5))
    scramble(encoder)
    encoding = encoder.encode()
    weights = encoding.selection.probabilities()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(30, 4))
    assert torch.equal(weights.argmax(dim=-1), encoding.selection.codes)
    blocks = encoder.composer.codebooks.padded()
    mixed = torch.einsum("bdk,dkc->bdc", weights, blocks).flatten(1)
    torch.testing.assert_close(encoding.x, mixed)


def test_gumbel_hard_shows_codewords(scramble):
    encoder = make(GumbelCoder("free"))
    scramble(encoder)
    encoding = encoder.encode()
    assert isinstance(encoding.selection, LogitSelection)
    torch.testing.assert_close(encoding.x, encoder.composer(encoding.selection.codes))


# --- normalisation --------------------------------------------------------------------


@pytest.mark.parametrize("affine", [False, True])
def test_logit_norm_is_batch_norm(affine):
    ours = LogitNorm(sum(SIZES), affine=affine).double()
    theirs = nn.BatchNorm1d(sum(SIZES), affine=affine).double()
    if affine:
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter.normal_()
            theirs.load_state_dict(
                {"weight": ours.weight, "bias": ours.bias}, strict=False
            )
    for _ in range(3):
        logits = torch.randn(20, sum(SIZES), dtype=F64, requires_grad=True)
        gain, shift = ours.of_logits(logits)
        check_norm(logits, logits * gain + shift, theirs(logits), [logits])
        check_statistics(ours, theirs, count=20)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("sizes", [SIZES, (4, 4, 4, 4)], ids=["ragged", "uniform"])
def test_norm_of_queries_is_batch_norm_of_their_logits(affine, sizes):
    ours = LogitNorm(sum(sizes), affine=affine).double()
    theirs = nn.BatchNorm1d(sum(sizes), affine=affine).double()
    for _ in range(3):
        query = torch.randn(20, 4, 3, dtype=F64, requires_grad=True)
        keys = torch.randn(sum(sizes), 3, dtype=F64, requires_grad=True)
        logits = torch.cat(
            [
                query[:, position] @ block.t()
                for position, block in enumerate(torch.split(keys, list(sizes)))
            ],
            dim=1,
        )
        gain, shift = ours.of_queries(query, keys, sizes)
        check_norm(query, logits * gain + shift, theirs(logits), [query, keys])
        check_statistics(ours, theirs, count=20)
    ours.eval()
    theirs.eval()
    theirs.running_var.copy_(ours.var)
    gain, shift = ours.of_queries(query, keys, sizes)
    torch.testing.assert_close(logits * gain + shift, theirs(logits))


def check_norm(like, found, expected, inputs):
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, dtype=like.dtype)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, upstream, retain_graph=True),
        torch.autograd.grad(expected, inputs, upstream, retain_graph=True),
    )


def check_statistics(ours, theirs, count):
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    # Theirs keep the unbiased variance. Both began at 1, which has no such factor.
    start = (1 - 0.1) ** int(theirs.num_batches_tracked)
    factor = count / (count - 1)
    torch.testing.assert_close((ours.var - start) * factor, theirs.running_var - start)


def test_norm_of_one_row_uses_what_it_knows():
    norm = LogitNorm(4, affine=False)
    norm.mean.fill_(1.0)
    norm.var.fill_(4.0 - 1e-5)
    gain, shift = norm.of_logits(torch.randn(1, 4))
    torch.testing.assert_close(gain, torch.full((4,), 0.5))
    torch.testing.assert_close(shift, torch.full((4,), -0.5))
    assert torch.equal(norm.mean, torch.ones(4))


@pytest.mark.parametrize("normalize", ["batch", "affine"])
@pytest.mark.parametrize("query_dim", ["free", 3])
def test_normalised_logits_are_standard(normalize, query_dim, scramble):
    encoder = make(SoftmaxCoder(query_dim, normalize=normalize, scale=1.0))
    with torch.no_grad():
        table = encoder.coder.logits if query_dim == "free" else encoder.coder.query
        table.normal_(3.0, 5.0)
    scores = encoder.encode().selection.scores()
    for position, size in enumerate(SIZES):
        real = scores[:, position, :size]
        if query_dim != "free":
            real = real[:, 1:]  # key 0 starts at zero, and so do its logits
        torch.testing.assert_close(
            real.mean(dim=0), torch.zeros(real.size(1)), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(
            real.var(dim=0, correction=0), torch.ones(real.size(1)), atol=1e-3, rtol=0
        )


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SoftmaxCoder, GumbelCoder])
@pytest.mark.parametrize(
    "options",
    [
        {"query_dim": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"scale": -1.0},
        {"normalize": "layer"},
    ],
    ids=str,
)
def test_options_out_of_range(kind, options):
    with pytest.raises(ValueError, match=kind.__name__):
        kind(**options)


def test_threshold_needs_two_choices():
    with pytest.raises(ValueError, match=r"codebook_size=2.*SoftmaxCoder"):
        make(ThresholdCoder(), 4)
    with pytest.raises(ValueError, match="ThresholdCoder"):
        ThresholdCoder(temperature=-1.0)


def test_a_coder_serves_one_encoder():
    coder = SoftmaxCoder("free")
    with pytest.raises(ValueError, match="no sizes yet"):
        coder.reset_parameters()
    make(coder)
    with pytest.raises(ValueError, match="already belongs"):
        make(coder)


@pytest.mark.parametrize("coder", ["free", "query", "vq", "threshold"])
def test_a_state_of_earlier_names_loads(coder):
    made = {
        "free": lambda: SoftmaxCoder("free", normalize="affine"),
        "query": lambda: SoftmaxCoder(2, normalize="affine"),
        "vq": lambda: "vq",
        "threshold": lambda: "threshold",
    }[coder]
    one, two = (
        KDEmbedding(9, 8, num_codebooks=4, codebook_size=2, coder=made())
        for _ in range(2)
    )
    names = {
        "coder.query_rows.weight": "coder.query",
        "coder.logit_rows.weight": "coder.logits",
        "coder.key_rows.weight": "coder.keys",
        "coder.norm.scale.weight": "coder.norm.weight",
        "coder.norm.centre.weight": "coder.norm.bias",
        "_extra_state": "",
    }
    state = {names.get(name, name): t for name, t in one.state_dict().items()}
    state.pop("")
    two.load_state_dict(state)
    for mine, other in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(mine, other)
