"""Residual and product quantisation of a table of vectors."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes.kmeans import kmeans
from kdgraph.codes.quantize import (
    product_quantize,
    residual_encode,
    residual_quantize,
)
from kdgraph.composers import ConcatComposer, SumComposer

BOTH = pytest.mark.parametrize("quantize", [residual_quantize, product_quantize])


def vectors(num_rows: int = 600, width: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(num_rows, width, generator=torch.Generator().manual_seed(seed))


def error(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().mean())


def test_every_residual_position_lowers_the_error() -> None:
    x = vectors()
    found = residual_quantize(x, 6, 8)
    errors = [error(x, torch.zeros_like(x))]
    for stop in range(1, 7):
        books, codes = found.codebooks[:stop], found.codes.codes()
        total = sum(book[codes[:, j]] for j, book in enumerate(books))
        errors.append(error(x, total))
    assert all(after < 0.9 * before for before, after in pairwise(errors))
    assert errors[-1] == pytest.approx(error(x, found.decode()))


def test_codes_do_not_depend_on_how_many_positions_follow() -> None:
    x = vectors()
    short, long = residual_quantize(x, 2, 8), residual_quantize(x, 4, 8)
    assert torch.equal(short.codes.codes(), long.codes.codes()[:, :2])


def test_a_product_is_one_kmeans_per_run_of_columns() -> None:
    x = vectors()
    found = product_quantize(x, 4, [5, 8, 3, 16])
    for j, part in enumerate(x.chunk(4, dim=1)):
        book, labels = found.codebooks[j], found.codes.codes()[:, j]
        assert torch.equal(found.decode()[:, 2 * j : 2 * j + 2], book[labels])
        assert error(part, book[labels]) < 1.2 * error(
            part, (best := kmeans(part, len(book), num_steps=50)).centroids[best.labels]
        )


@BOTH
def test_decode_of_some_rows(quantize) -> None:
    found = quantize(vectors(), 4, 5)
    n_id = torch.tensor([7, 0, 7, 599])
    assert torch.equal(found.decode(n_id), found.decode()[n_id])
    with pytest.raises(IndexError):
        found.decode(torch.tensor([600]))


@BOTH
def test_the_seed_decides(quantize) -> None:
    one, again, other = (quantize(vectors(), 4, 8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.codes.packed, again.codes.packed)
    assert not torch.equal(one.codes.packed, other.codes.packed)


def test_encoding_finds_the_codes_again() -> None:
    x = vectors(200)
    found = residual_quantize(x, 3, 8)
    assert torch.equal(residual_encode(x, found.codebooks), found.codes.codes())


def test_an_encoder_continues_where_the_table_ends() -> None:
    x = vectors()
    residual, product = residual_quantize(x, 4, [4, 8, 3, 8]), product_quantize(x, 4, 8)
    for found, composer in (
        (residual, SumComposer(null_code=False)),
        (product, ConcatComposer(null_code=False)),
    ):
        encoder = KDEmbedding(600, 8, coder=FixedCoder(found.codes), composer=composer)
        with torch.no_grad():
            composer.weight.copy_(torch.cat(found.codebooks))
        assert torch.allclose(encoder(), found.decode(), atol=1e-6)


@pytest.mark.parametrize("width", [1, 4])
def test_few_distinct_vectors_leave_unused_rows_of_zeros(width: int) -> None:
    x = vectors(5, width)[torch.arange(40) % 5]
    found = residual_quantize(x, 3, 5)
    assert torch.allclose(found.decode(), x, atol=1e-5)
    assert found.codes.codebook_sizes == (5, 5, 5)
    assert [len(book) for book in found.codebooks] == [5, 5, 5]


def test_constant_columns_of_a_product() -> None:
    x = torch.cat((vectors(40, 2), torch.ones(40, 2)), dim=1)
    found = product_quantize(x, 2, 16)
    assert torch.equal(found.codebooks[1][1:], torch.zeros(15, 2))
    assert torch.equal(found.decode()[:, 2:], x[:, 2:])


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_and_gradients(quantize, dtype: torch.dtype) -> None:
    x = vectors().to(dtype).requires_grad_()
    found = quantize(x, 4, 8)
    assert found.decode().dtype == torch.float32
    assert not found.decode().requires_grad
    assert torch.equal(x, vectors().to(dtype))


@BOTH
@pytest.mark.parametrize(
    ("weight", "positions", "size", "kind", "says"),
    [
        (torch.ones(20, 4), 2, 3, ValueError, "got 20 that are all alike"),
        (torch.eye(4), 2, 5, ValueError, "codebook_size of at most 4"),
        (torch.eye(4) / 0, 2, 2, ValueError, "finite rows"),
        (torch.ones(4), 2, 2, ValueError, r"rows \[N, C\]"),
        (torch.eye(4).long(), 2, 2, TypeError, "floating point rows"),
        (np.eye(4), 2, 2, TypeError, "ndarray"),
        (torch.eye(4), 0, 2, ValueError, "num_codebooks"),
        (torch.eye(4), 2, 1, ValueError, "codebook sizes"),
        (torch.eye(4), 2, [2, 2, 2], ValueError, "one entry per position"),
    ],
)
def test_refused(quantize, weight, positions, size, kind, says) -> None:
    with pytest.raises(kind, match=says):
        quantize(weight, positions, size)


def test_a_width_that_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="8 columns for 3 codebooks"):
        product_quantize(vectors(), 3, 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_encoding_reads_any_type_and_trained_codebooks(dtype: torch.dtype) -> None:
    x = vectors(200)
    found = residual_quantize(x, 3, 8)
    books = [torch.nn.Parameter(book) for book in found.codebooks]
    codes = residual_encode(x.to(dtype).requires_grad_(), books)
    assert (codes == found.codes.codes()).double().mean() > 0.9
