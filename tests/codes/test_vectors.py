"""Node vectors, held against dense linear algebra."""

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes.diffusion import diffusion_vectors
from kdgraph.codes.netmf import netmf_vectors
from kdgraph.codes.prone import prone_vectors
from kdgraph.codes.scaled import ScaledAdjacency
from kdgraph.codes.subspace import factorise, random_panels

ALL = pytest.mark.parametrize(
    "vectors", [netmf_vectors, prone_vectors, diffusion_vectors]
)


def graph(nodes: int = 120, seed: int = 0) -> sparse.csr_array:
    """Weighted, undirected, with an isolated node at the end."""
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.08), 1)
    dense[:, -1] = 0.0
    return sparse.csr_array((dense + dense.T).astype(np.float32))


def by_hand(matrix: np.ndarray, dim: int) -> np.ndarray:
    """The Gram matrix of U S^(1/2), which does not depend on signs."""
    left, values, _ = np.linalg.svd(matrix)
    return left[:, :dim] * values[:dim] @ left[:, :dim].T


def walk(adj: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    degree = adj.sum(axis=1)
    return degree, adj / np.where(degree > 0, degree, 1.0)[:, None]


@pytest.mark.parametrize("window", [1, 4])
def test_netmf_is_its_formula(window: int) -> None:
    adj = graph().toarray().astype(np.float64)
    degree, step = walk(adj)
    powers = sum(np.linalg.matrix_power(step, r) for r in range(1, window + 1))
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    matrix = np.log(np.maximum(1.0, degree.sum() / (2.0 * window) * powers * inverse))
    found = netmf_vectors(graph(), 120, window=window, negative=2.0).numpy()
    assert np.allclose(found @ found.T, by_hand(matrix, 120), atol=0.02)


def test_prone_is_its_formula() -> None:
    adj = graph().toarray().astype(np.float64)
    _, step = walk(adj)
    noise = step.sum(axis=0) ** 0.75
    noise /= noise.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = np.where(adj > 0, np.log(step / noise), 0.0)
    expected = by_hand(matrix, 120)
    size = np.sqrt(np.maximum(expected.diagonal(), 1e-12))
    expected /= size * size[:, None]
    found = prone_vectors(graph(), 120, smoothing=0).numpy()
    assert np.allclose(found @ found.T, expected, atol=0.02)


@pytest.mark.parametrize("vectors", [prone_vectors, netmf_vectors])
def test_smoothing_is_a_lazy_walk(vectors) -> None:
    _, step = walk(graph().toarray())
    lazy = (np.eye(120) + step) / 2
    rough, smooth = (vectors(graph(), 40, smoothing=s).numpy() for s in (0, 3))
    assert np.allclose(lazy @ lazy @ lazy @ rough, smooth, atol=1e-5)


def test_diffusion_keeps_the_angles_of_what_it_sketches() -> None:
    _, step = walk(graph().toarray())
    spread = np.linalg.matrix_power(step, 3)
    spread /= np.maximum(np.linalg.norm(spread, axis=1, keepdims=True), 1e-12)
    found = diffusion_vectors(graph(), 4096, smoothing=0).numpy()
    assert np.allclose(found @ found.T, spread @ spread.T, atol=0.08)


@ALL
def test_isolated_nodes_are_zero_and_others_are_not(vectors) -> None:
    found = vectors(graph(), 16)
    assert found[-1].tolist() == [0.0] * 16
    connected = torch.from_numpy(np.diff(graph().indptr) > 0)
    assert bool((found[connected].norm(dim=1) > 1e-3).all())


@ALL
def test_components_are_orthogonal_or_nearly_so(vectors) -> None:
    found = vectors(sparse.block_diag((np.ones((20, 20)), np.ones((30, 30)))), 256)
    found = found / found.norm(dim=1, keepdim=True)
    assert float((found[:20] @ found[20:].T).abs().max()) < 0.4
    assert float((found[:20] @ found[:20].T).min()) > 0.5


@pytest.mark.parametrize("vectors", [prone_vectors, netmf_vectors])
def test_a_relabelled_graph_has_the_same_geometry(vectors) -> None:
    order = np.random.default_rng(1).permutation(120)
    here, there = vectors(graph(), 120), vectors(graph()[order][:, order], 120)
    inner = (here @ here.T)[order][:, order]
    assert torch.allclose(inner, there @ there.T, atol=0.02)


@pytest.mark.parametrize("dim", [5, 50, 64, 200])
def test_any_width_is_given(dim: int) -> None:
    found = prone_vectors(graph(), dim, smoothing=0)
    assert found.shape == (120, dim)
    rank = torch.linalg.matrix_rank(found, rtol=1e-4)
    assert int(rank) >= min(dim, 100)


def test_factors_of_a_matrix_of_low_rank() -> None:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((300, 7)) @ rng.standard_normal((7, 300))
    matrix = torch.from_numpy(dense).float()
    panels = random_panels(300, 40)
    factorise(matrix.matmul, matrix.t().matmul, panels)
    found = panels.transpose(0, 1).flatten(1)
    assert np.allclose(found @ found.T, by_hand(dense, 7), atol=1e-2)
    assert int((found.norm(dim=0) > 1e-2).sum()) == 7


@pytest.mark.parametrize("smallest", [3e-3, 1e-4, 3e-6])
def test_small_directions_are_kept(smallest: float) -> None:
    """A spectrum of 12 values, and nothing beyond it but rounding."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((300, 12)))[0] for _ in range(2))
    spectrum = np.geomspace(1.0, smallest, 12)
    matrix = torch.from_numpy(left * spectrum @ right.T).float()
    panels = random_panels(300, 40)
    factorise(matrix.matmul, matrix.t().matmul, panels)
    found = panels.transpose(0, 1).flatten(1).double().numpy()
    lengths = np.sort((found**2).sum(0))[::-1]
    assert np.allclose(lengths[:12], spectrum, rtol=1e-3)
    assert not lengths[12:40].any()
    cosine = np.abs(left.T @ found / np.sqrt(spectrum)[:, None]).max(1)
    assert cosine.min() > 0.999


def test_half_precision_says_what_it_leaves_out() -> None:
    rng = np.random.default_rng(0)
    base = np.linalg.qr(rng.standard_normal((300, 12)))[0]
    matrix = torch.from_numpy(base * np.geomspace(1.0, 1e-6, 12) @ base.T).float()
    panels = random_panels(300, 40, dtype=torch.bfloat16)

    def times(x: torch.Tensor) -> torch.Tensor:
        return (matrix @ x.float()).bfloat16()

    with pytest.warns(UserWarning, match="of 40 directions are left out"):
        factorise(times, times, panels)


def test_products_are_computed_in_blocks(monkeypatch) -> None:
    adj, x = graph(), torch.randn(120, 5)
    row, col = np.random.default_rng(0).random((2, 120), dtype=np.float32)
    expected = row[:, None] * adj.toarray() * col @ x.numpy()
    monkeypatch.setattr("kdgraph.codes.scaled._BLOCK_ENTRIES", 4)
    monkeypatch.setattr("kdgraph.codes.scaled._BLOCK_ROWS", 3)
    matrix = ScaledAdjacency(adj, row, col)
    assert np.allclose(matrix.matmul(x), expected, atol=1e-5)
    rough = matrix.matmul(x.bfloat16()).float()
    assert np.allclose(rough, expected, atol=0.05)
    plain = row[:, None] * adj.toarray() @ x.numpy()
    assert np.allclose(ScaledAdjacency(adj, row).matmul(x), plain, atol=1e-5)


@ALL
@pytest.mark.parametrize("options", [{"dim": 0}, {"smoothing": -1}])
def test_sizes_out_of_range(vectors, options) -> None:
    with pytest.raises(ValueError, match="dim of at least 1 and smoothing"):
        vectors(graph(), **options)


@ALL
def test_what_is_no_graph(vectors) -> None:
    with pytest.raises(ValueError, match=f"{vectors.__name__} expects a graph with"):
        vectors(sparse.csr_array((3, 3)))


def test_netmf_options_out_of_range() -> None:
    with pytest.raises(ValueError, match="window of at least 1"):
        netmf_vectors(graph(), window=0)
    with pytest.raises(ValueError, match="negative above 0"):
        netmf_vectors(graph(), negative=0.0)
