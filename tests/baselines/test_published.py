"""DPQ, the KD encoding and hash decoding against their formulas, node by node."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from kdgraph.baselines import (
    decoder_sizes,
    dpq_sizes,
    dpq_sx,
    dpq_vq,
    hash_decoder,
    kd_encoding,
)
from kdgraph.codes import projection_codes, random_codes
from kdgraph.data import sbm

N_ID = torch.tensor([3, 22, 0, 3, 7, 11, 15])


def kd(composition):
    return lambda most, n, c: kd_encoding(most, n, c, composition=composition)


FACTORIES = {
    "dpq-sx": dpq_sx,
    "dpq-vq": dpq_vq,
    "kd-published": kd("linear"),
    "kd-published-mlp": kd("mlp"),
    "kd-published-lstm": kd("lstm"),
    "random-projection": hash_decoder,
}


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("max_bytes", [30_000, 300_000])
def test_bytes_fit_and_are_counted_on_meta(name, max_bytes):
    encoder = FACTORIES[name](max_bytes, 500, 32)
    stored = encoder.export().stored_tensors().values()
    taken = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    assert encoder.inference_bytes() == taken <= max_bytes
    with torch.device("meta"):
        planned = FACTORIES[name](max_bytes, 500, 32)
    assert planned.composer.weight.is_meta
    assert planned.inference_bytes() == taken


@pytest.mark.parametrize("name", FACTORIES)
def test_too_few_bytes(name):
    with pytest.raises(ValueError, match="does not fit max_bytes=400.*allow more"):
        FACTORIES[name](400, 500, 32)


@pytest.mark.parametrize("name", FACTORIES)
def test_training_lowers_the_loss(name):
    encoder = FACTORIES[name](60_000, 40, 16)
    target = torch.randn(40, 16)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        encoding = encoder.encode()
        loss = (encoding.x - target).square().mean()
        optimizer.zero_grad()
        (loss + encoding.penalty).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    learned = [p for p in encoder.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.any() for p in learned)


# --- DPQ ------------------------------------------------------------------------------


def test_dpq_sx_is_its_formula():
    encoder = dpq_sx(4000, 23, 16).double()
    count, size = encoder.num_codebooks, encoder.codebook_sizes[0]
    coder, width = encoder.coder, 16 // count
    assert coder.query.shape == (23, 16)
    query = coder.query.view(23, count, width)[N_ID]
    keys = coder.keys.view(count, size, width)
    responses = torch.einsum("bdr,dkr->bdk", query, keys)
    normed = functional.batch_norm(
        responses.flatten(1), None, None, training=True
    ).view_as(responses)
    values = encoder.composer.weight
    assert values.shape == (size, width)  # one codebook for all positions
    hard = functional.one_hot(normed.argmax(-1), size).double()
    soft = normed.softmax(-1)
    chosen = (soft + (hard - soft).detach()) @ values
    gradient = torch.randn(7, 16, dtype=torch.float64)
    (expected,) = torch.autograd.grad(
        (chosen.flatten(1) * gradient).sum(), values, retain_graph=True
    )
    x = encoder(N_ID)
    torch.testing.assert_close(x, chosen.flatten(1))
    (x * gradient).sum().backward()
    torch.testing.assert_close(values.grad, expected)
    (expected,) = torch.autograd.grad((chosen.flatten(1) * gradient).sum(), coder.query)
    torch.testing.assert_close(coder.query.grad, expected, atol=1e-9, rtol=1e-6)


def test_dpq_vq_is_its_formula():
    encoder = dpq_vq(4000, 23, 16).double()
    torch.nn.init.normal_(encoder.coder.query, std=0.1)
    count = encoder.num_codebooks
    query = encoder.coder.query.view(23, count, -1)[N_ID].detach()
    books = encoder.composer.weight.detach()
    encoding = encoder.encode(N_ID)
    total = 0.0
    for row in range(len(N_ID)):
        words = []
        for position in range(count):
            off = ((books - query[row, position]) ** 2).sum(1)
            words.append(books[int(off.argmin())])
            total += float(off.min())
        torch.testing.assert_close(encoding.x[row].detach(), torch.cat(words))
    # The centroid term alone: commitment has no weight.
    assert float(encoding.penalty.detach()) == pytest.approx(total / len(N_ID))
    encoding.penalty.backward()
    assert not encoder.coder.query.grad.any()
    gradient = torch.randn(7, 16, dtype=torch.float64)
    encoder.zero_grad()
    (encoder(N_ID) * gradient).sum().backward()
    copied = torch.zeros(23, 16, dtype=torch.float64).index_add_(0, N_ID, gradient)
    torch.testing.assert_close(encoder.coder.query.grad, copied)
    before = copy.deepcopy(encoder.state_dict())
    for epoch in range(10):
        encoder.after_epoch(epoch)  # no codeword restarts
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_dpq_sizes():
    def taken(count, size, shared):
        bits = count * math.ceil(math.log2(size))
        return 1000 * math.ceil(bits / 8) + 4 * size * (
            64 if not shared else 64 // count
        )

    for shared in (True, False):
        for max_bytes in (5_000, 12_000, 40_000, 10**6):
            sizes = dpq_sizes(max_bytes, 1000, 64, shared=shared)
            every = [
                (d * math.ceil(math.log2(k)), d, k)
                for d in (8, 32)
                for k in (2, 8, 16, 32, 128)
                if taken(d, k, shared) <= max_bytes
            ]
            assert (sizes.num_codebooks, sizes.codebook_size) == max(every)[1:]
    # None of the grid divides 12.
    assert dpq_sizes(10**6, 1000, 12) == (6, 128)


# --- KD encoding ----------------------------------------------------------------------


@pytest.mark.parametrize("composition", ["linear", "mlp", "lstm"])
def test_kd_encoding_is_its_formula(composition):
    encoder = kd_encoding(40_000, 23, 16, composition=composition).double()
    count = encoder.num_codebooks
    assert encoder.codebook_sizes == (32,) * count
    logits = encoder.coder.logits
    assert logits.shape == (23, count * 32)
    norm = encoder.coder.norm
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    normed = functional.batch_norm(
        logits[N_ID], None, None, norm.weight, norm.bias, training=True
    )
    codes = normed.view(7, count, 32).argmax(-1)
    books = encoder.composer.weight.view(count, 32, -1)
    words = torch.stack([books[j, codes[:, j]] for j in range(count)], dim=1)
    composer = encoder.composer
    if composition == "linear":
        out = composer.projection(words.sum(1))
    elif composition == "mlp":
        out = composer.last(composer.first(words.mean(1)).relu())
    else:
        cell = composer.cells[0]
        lstm = torch.nn.LSTM(words.size(-1), 8, batch_first=True).double()
        lstm.load_state_dict({f"{k}_l0": v for k, v in cell.state_dict().items()})
        out = composer.last(lstm(words)[0][:, -1])
    expected = functional.batch_norm(
        out, None, None, composer.output_norm.weight, composer.output_norm.bias, True
    )
    torch.testing.assert_close(encoder(N_ID), expected)


def test_kd_encoding_is_as_published_where_bytes_allow():
    for composition in ("linear", "mlp", "lstm"):
        encoder = kd_encoding(10**7, 100, 16, composition=composition)
        assert encoder.num_codebooks == 32
        assert encoder.composer.width == 300
    with torch.device("meta"):
        large = kd_encoding(10**9, 10**8, 64)
    assert large.composer.width == 300
    assert large.num_codebooks == 14  # 70 bits; 15 take a tenth byte
    assert kd_encoding(9_000, 1000, 16).num_codebooks < 8
    with pytest.raises(ValueError, match="'linear', 'mlp' or 'lstm', got 'cnn'"):
        kd_encoding(10**6, 100, 16, composition="cnn")


# --- hash codes -----------------------------------------------------------------------


def test_hash_decoder_is_its_formula():
    graph = sbm(200, seed=0)
    sizes = decoder_sizes(50_000, 200, 16)
    codes = projection_codes(graph.adj, *sizes[:2])
    encoder = hash_decoder(50_000, 200, 16, codes=codes).double()
    books = encoder.composer.weight.view(sizes.num_codebooks, sizes.codebook_size, -1)
    first, last = encoder.composer.first, encoder.composer.last
    middle = encoder.composer.residual[0]
    for node in (0, 5, 199):
        code = codes.codes(torch.tensor([node]))[0].tolist()
        hidden = sum(books[j, k] for j, k in enumerate(code)) / sizes.num_codebooks
        hidden = (first.weight @ hidden + first.bias).relu()
        hidden = hidden + (middle.weight @ hidden + middle.bias).relu()
        expected = last.weight @ hidden + last.bias
        torch.testing.assert_close(encoder(torch.tensor(node)), expected)


def test_decoder_sizes():
    assert decoder_sizes(10**8, 1000, 64) == (16, 256, 512)
    # The codes may take half of the bytes: 128 bits are 16 bytes a node.
    assert decoder_sizes(32 * 10**6, 10**6, 64)[:2] == (16, 256)
    assert decoder_sizes(32 * 10**6 - 1, 10**6, 64)[:2] == (8, 256)
    small = decoder_sizes(40_000, 1000, 64)
    assert small.num_codebooks * (small.codebook_size.bit_length() - 1) == 128
    assert small.hidden_dim < 512
    with pytest.raises(ValueError, match=r"hash_decoder expects codes of K = \(256"):
        hash_decoder(10**8, 100, 16, codes=random_codes(100, 4, 16))
