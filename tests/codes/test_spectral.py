"""Spectral codes: what they say of a graph, in how much memory, what they refuse."""

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes.netmf import netmf_vectors
from kdgraph.codes.quantize import position_seed
from kdgraph.codes.resources import plan_working
from kdgraph.codes.spectral import shared_vectors, spectral_codes
from kdgraph.codes.structure import read_structure

METHODS = pytest.mark.parametrize("method", ["netmf", "prone", "diffusion"])


def communities(
    sizes: tuple[int, ...] = (60, 90, 50), inside: float = 0.3, seed: int = 0
) -> sparse.csr_array:
    """Blocks of random edges with few between them."""
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(len(sizes)), sizes)
    odds = np.where(own[:, None] == own, inside, 0.005)
    upper = np.triu(rng.random(odds.shape) < odds, 1)
    return sparse.csr_array((upper | upper.T).astype(np.float32))


@METHODS
def test_communities_get_codes_of_their_own(method) -> None:
    codes = spectral_codes(communities(), 1, 3, method=method).codes().flatten()
    blocks = [codes[:60], codes[60:150], codes[150:]]
    chosen = [int(block.mode().values) for block in blocks]
    assert len(set(chosen)) == 3
    for block, code in zip(blocks, chosen, strict=True):
        assert (block == code).double().mean() > 0.95


@METHODS
def test_components_share_no_first_code(method) -> None:
    graph = sparse.block_diag((np.ones((9, 9)), np.ones((7, 7)), np.ones((5, 5))))
    codes = spectral_codes(graph, 1, 3, method=method).codes().flatten().tolist()
    assert [len(set(codes[a:b])) for a, b in ((0, 9), (9, 16), (16, 21))] == [1, 1, 1]
    assert len(set(codes)) == 3


@METHODS
def test_isolated_nodes_share_a_code_and_do_not_attract_any(method) -> None:
    graph = communities()
    nodes = graph.shape[0]
    wide = sparse.csr_array(
        (graph.data, graph.indices, np.append(graph.indptr, [graph.nnz] * 500)),
        shape=(nodes + 500, nodes + 500),
    )
    codes = spectral_codes(wide, 2, [3, 4], method=method).codes()
    assert codes[nodes:].unique(dim=0).size(0) == 1
    connected = codes[:nodes, 0]
    assert len(connected.unique()) == 3
    assert connected.bincount().min() > 10


@METHODS
def test_direction_and_duplicates_do_not_matter(method) -> None:
    graph = communities()
    row, col = sparse.triu(graph).coords
    twice = sparse.coo_array(
        (np.full(2 * len(row), 0.5), (np.tile(row, 2), np.tile(col, 2))),
        shape=graph.shape,
    )
    expected = spectral_codes(graph, 3, 8, method=method).packed
    assert torch.equal(spectral_codes(twice, 3, 8, method=method).packed, expected)


@METHODS
def test_self_loops_do_not_matter(method) -> None:
    graph = communities()
    looped = graph + sparse.eye_array(graph.shape[0], dtype=np.float32)
    expected = spectral_codes(graph, 2, 8, method=method).packed
    assert torch.equal(spectral_codes(looped, 2, 8, method=method).packed, expected)


@METHODS
def test_the_seed_decides(method) -> None:
    graph, state = communities(), torch.get_rng_state()
    first, again, other = (
        spectral_codes(graph, 4, 8, method=method, seed=seed).packed
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@METHODS
def test_progress_rises_to_the_end(method) -> None:
    seen: list[tuple[float, str]] = []
    spectral_codes(
        communities(), 3, 4, method=method, progress=lambda *step: seen.append(step)
    )
    done = [fraction for fraction, _ in seen]
    assert all(before <= after for before, after in itertools.pairwise(done))
    assert 0 < done[0] < done[-1] == pytest.approx(1.0)
    assert len({stage for _, stage in seen}) > 1


@METHODS
def test_a_path_is_cut_in_two(method) -> None:
    codes = spectral_codes(sparse.csr_array(np.eye(6, k=1)), 2, 2, method=method)
    first = codes.codes()[:, 0]
    assert first.unique().tolist() == [0, 1]
    assert int(first.diff().abs().sum()) == 1


@METHODS
def test_every_choice_of_a_position_is_used(method) -> None:
    codes = spectral_codes(communities(), 2, [7, 200], method=method).codes()
    assert [len(column.unique()) for column in codes.T] == [7, 200]


def test_memory_decides_method_width_and_type() -> None:
    rng = np.random.default_rng(0)
    ends = rng.integers(200_000, size=(2, 400_000))
    graph = read_structure(
        sparse.coo_array((np.ones(400_000), ends), shape=(200_000, 200_000)), "test"
    )
    plans = [
        plan_working(graph, "auto", None, None, memory)
        for memory in (1 << 30, 80 << 20, 40 << 20, 30 << 20, 20 << 20, 7 << 20)
    ]
    found = [(plan.method, plan.dim, plan.dtype.itemsize) for plan in plans]
    assert found == [
        ("prone", 128, 4),
        ("prone", 128, 2),
        ("prone", 64, 2),
        ("diffusion", 32, 2),
        ("diffusion", 26, 2),
        ("diffusion", 9, 2),
    ]


@pytest.mark.parametrize("memory", [6 << 20, 3 << 20, 1 << 20, 400_000])
def test_arrays_stay_within_memory(memory: int, monkeypatch) -> None:
    nodes = 10_000
    ends = np.random.default_rng(0).integers(nodes, size=(2, 50_000))
    graph = sparse.coo_array((np.ones(50_000), ends), shape=(nodes, nodes))
    largest = 0
    empty = torch.empty

    def spy(*shape, **options):
        nonlocal largest
        made = empty(*shape, **options)
        # Distances to 16 centroids are a buffer of bounded size.
        if made.is_floating_point() and nodes in shape and shape[-1] != 16:
            largest = max(largest, made.numel() * made.element_size())
        return made

    monkeypatch.setattr(torch, "empty", spy)
    table = spectral_codes(graph, 2, 16, method="auto", memory=memory)
    assert 0 < largest <= memory
    assert table.num_nodes == nodes


def test_half_precision_says_the_same() -> None:
    sizes = (900, 700, 800)
    graph = communities(sizes, 0.02)
    memory = 4 * sum(sizes) * (64 + 32)
    codes = spectral_codes(
        graph, 1, 3, method="prone", dim=64, memory=memory - 1
    ).codes()
    full = spectral_codes(graph, 1, 3, method="prone", dim=64, memory=memory).codes()
    assert plan_working(graph, "prone", 64, 3, memory - 1).dtype == torch.bfloat16
    pairs = torch.stack((codes[:, 0], full[:, 0])).unique(dim=1, return_counts=True)
    assert pairs[1].sort(descending=True).values[:3].sum() > 0.98 * sum(sizes)


@pytest.mark.parametrize(
    ("graph", "options", "error", "says"),
    [
        (communities(), {"codebook_size": 256}, ValueError, "at most 200"),
        (communities(), {"method": "svd"}, ValueError, "expects method as 'auto'"),
        (communities(), {"dim": 0}, ValueError, "dim of at least 1"),
        (communities(), {"smoothing": -1}, ValueError, "smoothing of at least 0"),
        (communities(), {"num_codebooks": 0}, ValueError, "num_codebooks"),
        (communities(), {"memory": 100}, ValueError, "at least 6400 bytes"),
        (
            communities(),
            {"memory": 10_000, "method": "netmf"},
            ValueError,
            "bytes for method='netmf' on 200 nodes, got 10000",
        ),
        (
            communities(),
            {"memory": 10_000, "method": "prone"},
            ValueError,
            "bytes for method='prone'",
        ),
        (sparse.csr_array((5, 5)), {}, ValueError, "a graph with edges"),
        (sparse.csr_array((5, 4)), {}, ValueError, "square"),
        (np.eye(3), {}, TypeError, "scipy.sparse"),
    ],
)
def test_refused(graph, options, error, says) -> None:
    given = {"num_codebooks": 2, "codebook_size": 8} | options
    with pytest.raises(error, match=says):
        spectral_codes(graph, **given)


@METHODS
def test_nodes_that_are_alike_cannot_be_told_apart(method) -> None:
    star = np.zeros((101, 101))
    star[0, 1:] = 1.0
    with pytest.raises(ValueError, match=r"got 2 distinct vectors .* at most 2$"):
        spectral_codes(sparse.csr_array(star), 2, 16, method=method, smoothing=0)
    pair = sparse.csr_array(np.eye(2, k=1))
    with pytest.raises(ValueError, match="got 2 that are all alike"):
        spectral_codes(pair, 1, 2, method=method)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_that_are_given_take_the_place_of_the_method(dtype) -> None:
    graph = communities()
    own = position_seed(3, 0)
    vectors = netmf_vectors(graph, 128, seed=own).to(dtype)
    expected = spectral_codes(graph, 3, [8, 16, 4], method="netmf", seed=3)
    for method in ("netmf", "diffusion"):
        given = spectral_codes(
            graph, 3, [8, 16, 4], method=method, vectors=vectors, seed=3
        )
        assert torch.equal(given.packed, expected.packed)
    other = spectral_codes(graph, 3, [8, 16, 4], vectors=vectors.flip(0), seed=3)
    assert not torch.equal(other.packed, expected.packed)


def test_seeds_draw_other_codes_of_vectors_they_share() -> None:
    graph = communities()
    vectors = shared_vectors(graph, 4 << 30)
    assert vectors is not None
    assert torch.equal(vectors, netmf_vectors(graph, 128, seed=0))
    first, second = (
        spectral_codes(graph, 2, 16, vectors=vectors, seed=seed).packed
        for seed in (0, 1)
    )
    assert not torch.equal(first, second)
    # Too little memory for the dense matrix: another method, and nothing to share.
    assert shared_vectors(graph, 4 * 200 * 200) is None


@pytest.mark.parametrize(
    ("vectors", "error", "says"),
    [
        (torch.zeros(199, 4), ValueError, r"vectors \[200, C\], got shape \(199, 4\)"),
        (torch.zeros(200), ValueError, r"vectors \[200, C\], got shape \(200,\)"),
        (torch.zeros(200, 4, 1), ValueError, r"vectors \[200, C\]"),
        (torch.full((200, 4), torch.nan), ValueError, "finite"),
        (torch.zeros(200, 4, dtype=torch.int64), TypeError, "float"),
        (torch.zeros(200, 4), ValueError, "got 200 that are all alike"),
    ],
)
def test_vectors_refused(vectors, error, says) -> None:
    with pytest.raises(error, match=says):
        spectral_codes(communities(), 2, 8, vectors=vectors)
