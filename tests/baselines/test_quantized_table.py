"""Tables quantised afterwards against faiss, each other and a loop."""

import numpy as np
import pytest
import torch

from kdgraph import PackedEmbedding
from kdgraph.baselines import fitting_sizes, quantize_table, unfilled
from kdgraph.baselines.opq import learn_rotation
from kdgraph.baselines.quantized_table import METHODS
from kdgraph.codes import product_quantize, residual_quantize


@pytest.fixture(name="table")
def correlated():
    """600 rows whose directions are neither axes nor alike."""
    generator = torch.Generator().manual_seed(1)
    scale = torch.logspace(0, -1.5, 16)
    mixed = torch.randn(600, 16, generator=generator) * scale
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    return mixed @ basis + 0.5


def error(encoder, table):
    return float((encoder() - table).square().sum())


@pytest.mark.parametrize("method", METHODS)
def test_vectors_are_the_loop_over_codes(table, method):
    encoder = quantize_table(table, method, max_bytes=3000)
    assert isinstance(encoder, PackedEmbedding)
    books = encoder.composer.weight.view(
        encoder.num_codebooks, -1, encoder.composer.width
    )
    for node in (0, 7, 599):
        words = [books[j, c] for j, c in enumerate(encoder.codes()[node].tolist())]
        expected = sum(words) if method == "rq" else torch.cat(words)
        if method == "opq":
            expected = encoder.composer.projection.weight @ expected + table.mean(0)
        torch.testing.assert_close(encoder(torch.tensor(node)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_it_fits_and_more_bytes_lose_less(table, method):
    losses = []
    for max_bytes in (1900, 3000, 5000):
        encoder = quantize_table(table[:200], method, max_bytes=max_bytes)
        assert encoder.inference_bytes() <= max_bytes
        losses.append(error(encoder, table[:200]))
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_rounded_codebooks_leave_room_for_codes(table, storage):
    plain = quantize_table(table, "rq", max_bytes=3000)
    rounded = quantize_table(table, "rq", max_bytes=3000, storage=storage)
    assert rounded.inference_bytes() <= 3000
    assert error(rounded, table) < error(plain, table)


def test_a_rotation_helps_where_columns_are_correlated(table):
    plain = product_quantize(table, 8, 8).decode()
    rotation = learn_rotation(table, 8, 8)
    torch.testing.assert_close(
        rotation.t() @ rotation, torch.eye(16), atol=1e-5, rtol=0
    )
    centred = table - table.mean(dim=0)
    turned = product_quantize(centred @ rotation, 8, 8).decode() @ rotation.t()
    loss = float((turned - centred).square().sum())
    assert loss < 0.8 * float((plain - table).square().sum())
    start = learn_rotation(table, 8, 8, num_steps=0)
    dealt = product_quantize(centred @ start, 8, 8).decode() @ start.t()
    assert loss <= 1.02 * float((dealt - centred).square().sum())
    # At equal bytes a rotation has to pay for itself, and does where nodes are many.
    many = table.repeat(5, 1) + 0.05 * torch.randn(3000, 16)
    losses = [
        error(quantize_table(many, method, max_bytes=6_000), many)
        for method in ("pq", "opq")
    ]
    assert losses[1] < losses[0]


def test_errors_are_near_those_of_faiss(table):
    faiss = pytest.importorskip("faiss")
    x = np.ascontiguousarray(table.numpy())

    def lost(decoded):
        return float(np.square(decoded - x).sum())

    product = faiss.ProductQuantizer(16, 4, 4)
    product.train(x)
    theirs = lost(product.decode(product.compute_codes(x)))
    assert lost(product_quantize(table, 4, 16).decode().numpy()) < 1.05 * theirs

    residual = faiss.ResidualQuantizer(16, 4, 4)
    residual.max_beam_size = 1
    residual.train_type = faiss.ResidualQuantizer.Train_default
    residual.train(x)
    theirs = lost(residual.decode(residual.compute_codes(x)))
    ours = [
        lost(residual_quantize(table, 4, 16, seed=seed).decode().numpy())
        for seed in range(3)
    ]
    assert sum(ours) / 3 < 1.05 * theirs

    centred = x - x.mean(axis=0)
    turn = faiss.OPQMatrix(16, 4)
    product = faiss.ProductQuantizer(16, 4, 4)
    turn.pq = product
    turn.train(centred)
    turned = turn.apply_py(centred)
    product.train(turned)
    theirs = np.square(product.decode(product.compute_codes(turned)) - turned).sum()
    rotation = learn_rotation(table, 4, 16)
    rows = torch.from_numpy(centred) @ rotation
    ours = (product_quantize(rows, 4, 16).decode() - rows).square().sum()
    assert float(ours) < 1.05 * float(theirs)


def test_sizes_are_the_largest_that_fit():
    # 1000 x 32 bits, and 256 x 32 floats.
    exact = 1000 * 4 + 4 * 256 * 32
    assert (4, 256) in fitting_sizes("pq", exact, 1000, 32)
    assert (4, 256) not in fitting_sizes("pq", exact - 1, 1000, 32)
    rotated = exact + 4 * (32 * 32 + 32)
    assert (4, 256) in fitting_sizes("opq", rotated, 1000, 32)
    assert (4, 256) not in fitting_sizes("opq", rotated - 1, 1000, 32)
    summed = 1000 * 3 + 4 * 3 * 256 * 32
    assert (3, 256) in fitting_sizes("rq", summed, 1000, 32)
    assert (3, 256) not in fitting_sizes("rq", summed - 1, 1000, 32)
    bits = [d * (k - 1).bit_length() for d, k in fitting_sizes("pq", exact, 1000, 32)]
    assert bits == sorted(bits, reverse=True)


@pytest.mark.parametrize("method", METHODS)
def test_bytes_are_known_before_there_is_a_table(method):
    with torch.device("meta"):
        large = unfilled(method, 10**10, 10**9, 64)
    assert 0.5 * 10**10 < large.inference_bytes() <= 10**10


def test_few_distinct_rows_bound_the_alphabet():
    table = torch.eye(4).repeat(10, 1)
    for method in METHODS:
        encoder = quantize_table(table, method, max_bytes=10**6)
        assert max(encoder.codebook_sizes) <= 4
        torch.testing.assert_close(encoder(), table, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_gives_the_same_vectors(table, method, tmp_path):
    encoder = quantize_table(table, method, max_bytes=3000)
    encoder.save(tmp_path / "table.kdg.safetensors")
    loaded = PackedEmbedding.load(tmp_path / "table.kdg.safetensors")
    assert torch.equal(loaded(), encoder())
    assert loaded.inference_bytes() == encoder.inference_bytes()


def test_sizes_are_found_on_a_sample(table, monkeypatch):
    whole = quantize_table(table, "pq", max_bytes=5000)
    monkeypatch.setattr("kdgraph.baselines.quantized_table.SAMPLE_ROWS", 100)
    sampled = quantize_table(table, "pq", max_bytes=5000)
    assert sampled.inference_bytes() <= 5000
    assert max(sampled.codebook_sizes) <= 100
    assert error(sampled, table) < 1.5 * error(whole, table)


def test_types():
    table = torch.randn(50, 4, dtype=torch.float64)
    assert quantize_table(table, max_bytes=2000)().dtype == torch.float64
    first = quantize_table(table, max_bytes=2000, seed=3)()
    assert torch.equal(first, quantize_table(table, max_bytes=2000, seed=3)())


@pytest.mark.parametrize(
    ("table", "options", "error_type", "match"),
    [
        (torch.randn(9, 4), {"method": "vq"}, ValueError, "'pq', 'opq' or 'rq'"),
        (torch.randn(9, 4), {"max_bytes": 40}, ValueError, "41 bytes"),
        (torch.ones(9, 4), {}, ValueError, "differ"),
        (torch.ones(9), {}, ValueError, r"\[N, C\]"),
        (torch.arange(4).view(2, 2), {}, TypeError, "floating point"),
    ],
)
def test_errors(table, options, error_type, match):
    with pytest.raises(error_type, match=match):
        quantize_table(table, **({"max_bytes": 4000} | options))
