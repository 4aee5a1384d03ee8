"""k-means, held against a naive loop and scikit-learn."""

import pytest
import torch
from torch import Tensor

from kdgraph.codes.kmeans import kmeans, nearest
from kdgraph.codes.rows import count_distinct


def blobs(num_rows: int, num_blobs: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centers = 4 * torch.randn(num_blobs, width, generator=generator)
    own = torch.randint(num_blobs, (num_rows,), generator=generator)
    return centers[own] + torch.randn(num_rows, width, generator=generator)


def inertia(x: Tensor, centroids: Tensor, labels: Tensor) -> float:
    return float((x - centroids[labels]).square().sum())


def test_nearest_is_what_a_loop_finds() -> None:
    x, centroids = blobs(500, 7, 3), blobs(9, 9, 3, seed=1)
    naive = [int((row - centroids).square().sum(1).argmin()) for row in x]
    assert nearest(x, centroids).tolist() == naive


def test_one_step_is_what_a_loop_finds() -> None:
    x = blobs(400, 8, 3)
    start = kmeans(x, 8, num_steps=0)
    once = kmeans(x, 8, num_steps=1)
    means = torch.stack([x[start.labels == k].mean(dim=0) for k in range(8)])
    assert torch.allclose(once.centroids, means, atol=1e-5)
    assert torch.equal(once.labels, nearest(x, means))


def test_steps_lower_the_error_and_end_at_rest() -> None:
    x = blobs(2000, 30, 5)
    errors = [
        inertia(x, *kmeans(x, 30, num_steps=steps)) for steps in (0, 1, 3, 10, 200)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]
    assert errors[-1] == pytest.approx(inertia(x, *kmeans(x, 30, num_steps=400)))


@pytest.mark.parametrize(("rows", "clusters"), [(3000, 20), (9000, 13)])
def test_as_good_as_scikit_learn(rows: int, clusters: int) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = blobs(rows, 40, 6)
    theirs = min(
        cluster.KMeans(clusters, n_init=1, max_iter=20, random_state=seed)
        .fit(x.numpy())
        .inertia_
        for seed in range(3)
    )
    ours = min(inertia(x, *kmeans(x, clusters, seed=seed)) for seed in range(3))
    assert ours <= 1.05 * theirs


def test_of_many_rows_every_one_is_assigned_to_its_nearest() -> None:
    x = blobs(5000, 4, 2)  # more than the 256 * 4 that are trained on
    centroids, labels = kmeans(x, 4)
    assert torch.equal(labels, nearest(x, centroids))
    means = torch.stack([x[labels == k].mean(dim=0) for k in range(4)])
    assert float((means - centroids).abs().max()) < 0.2


@pytest.mark.parametrize("clusters", [1, 2, 37, 64])
def test_no_cluster_is_empty_and_equal_rows_stay_together(clusters: int) -> None:
    x = blobs(64, 3, 4)[torch.arange(64).repeat(20)] + 100.0
    labels = kmeans(x, clusters).labels
    assert labels.unique().numel() == clusters
    assert torch.equal(labels, labels[:64].repeat(20))


def test_as_many_clusters_as_distinct_rows_fit_exactly() -> None:
    x = blobs(50, 50, 3).repeat(7, 1)
    centroids, labels = kmeans(x, 50)
    assert torch.allclose(centroids[labels], x, atol=1e-5)


def test_a_rare_row_far_away_gets_a_cluster() -> None:
    x = torch.cat((blobs(400, 1, 2), torch.tensor([[500.0, 500.0]])))
    labels = kmeans(x, 2).labels
    assert int((labels == labels[-1]).sum()) == 1


def test_many_clusters_at_once() -> None:
    x = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    found = kmeans(x, 1500, num_steps=2)  # several are drawn per round of the start
    assert found.labels.unique().numel() == 1500


def test_the_seed_decides() -> None:
    x = blobs(3000, 20, 4)
    state = torch.get_rng_state()
    first, again, other = kmeans(x, 9), kmeans(x, 9), kmeans(x, 9, seed=1)
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, other.centroids)
    assert torch.equal(state, torch.get_rng_state())


def test_the_clusters_move_with_the_rows() -> None:
    x = blobs(900, 6, 3)
    here, there = kmeans(x, 6), kmeans(2.0 * x + 8.0, 6)
    assert torch.allclose(2.0 * here.centroids + 8.0, there.centroids, atol=1e-3)


def test_signed_zeros_are_equal() -> None:
    assert count_distinct(torch.tensor([[0.0, 1.0], [-0.0, 1.0]]), 5) == 1


@pytest.mark.parametrize(
    ("x", "clusters", "error", "says"),
    [
        (torch.ones(5, 2), 2, ValueError, "1 distinct rows of 5 for 2 clusters"),
        (torch.eye(3), 4, ValueError, "ask for at most 3"),
        (torch.eye(3), 0, ValueError, "at least 1 cluster"),
        (torch.eye(3) * float("nan"), 2, ValueError, "finite rows"),
        (torch.full((3, 1), float("inf")), 2, ValueError, "finite rows"),
        (torch.ones(3), 1, ValueError, r"rows \[N, C\]"),
        (torch.ones(0, 3), 1, ValueError, r"got shape \(0, 3\)"),
        (torch.ones(3, 3, dtype=torch.int64), 1, TypeError, "torch.int64"),
        ([[1.0]], 1, TypeError, "list"),
    ],
)
def test_refused(x: Tensor, clusters: int, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        kmeans(x, clusters)
    assert str(caught.value).startswith("kmeans expects")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_an_accelerator() -> None:
    x = blobs(3000, 20, 4)
    here, there = kmeans(x, 20), kmeans(x.cuda(), 20)
    again = kmeans(x.cuda(), 20)
    assert torch.equal(there.centroids, again.centroids)
    assert inertia(x, *here) == pytest.approx(inertia(x.cuda(), *there), rel=0.02)
