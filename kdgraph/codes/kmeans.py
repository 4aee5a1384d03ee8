"""k-means: the one clustering all quantisers use."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdgraph.codes.rows import CHUNK_ELEMENTS, check_rows, distinct

_CACHED_ELEMENTS = 1 << 21
"""Entries of a block of distances on the CPU, where it stays near the cache."""

ROWS_PER_CLUSTER = 256
"""Rows a cluster is trained on at most; the centroids move little with more."""

_START_ROWS_PER_CLUSTER = 32
_START_ROUNDS = 512


class Clusters(NamedTuple):
    """What :func:`kdgraph.codes.kmeans` finds.

    Args:
        centroids: ``[K, C]``.
        labels: ``int64`` ``[N]``, the cluster of each row.
    """

    centroids: Tensor
    labels: Tensor


def kmeans(
    x: Tensor, num_clusters: int, *, seed: int = 0, num_steps: int = 20
) -> Clusters:
    r"""Cluster the rows of x, so that none of K clusters is empty.

    Lloyd's algorithm from a k-means++ start (Arthur, Vassilvitskii, SODA 2007): it
    lowers :math:`\sum_v \lVert x_v - c_{k_v} \rVert^2`. Equal rows count once, with
    their number as weight, and fall into the same cluster. A cluster that runs empty
    restarts at the row that lies farthest from its centroid. Of many rows, a random
    sample of 256 per cluster is trained on, and then all are assigned. On the CPU and
    on CUDA, where x lies, and with x's gradient left alone.

    Cost is :math:`O(\min(N, 256 K) K C)` per step and :math:`O(N K C)` at the end;
    memory besides x and the sample is bounded by 16 MiB of distances.

    Args:
        x: Rows ``[N, C]``, computed on in float32.
        num_clusters: Number of clusters K.
        seed: Of the sample and the start. (default: ``0``)
        num_steps: Lloyd steps at most; it stops when no row moves. (default: ``20``)

    Raises:
        TypeError: Rows that are not a floating point tensor.
        ValueError: Rows that are not ``[N, C]`` or not finite, or more clusters than
            distinct rows.

    Example:
        >>> x = torch.tensor([[0.0], [0.2], [5.0], [5.2]])
        >>> centroids, labels = kmeans(x, 2)
        >>> centroids.sort(dim=0).values.flatten()
        tensor([0.1000, 5.1000])
        >>> bool(labels[0] == labels[1]) and bool(labels[1] != labels[2])
        True
    """
    x = check_rows(x, "kmeans")
    if num_clusters < 1 or num_steps < 0:
        raise ValueError(
            f"kmeans expects at least 1 cluster and 0 steps, got {num_clusters} and "
            f"{num_steps}"
        )
    generator = torch.Generator().manual_seed(seed)
    rows, weight = _training_rows(x, num_clusters, generator)
    mean = rows.mean(dim=0)
    rows = rows - mean
    centroids = _plus_plus(rows, weight, num_clusters, generator)
    labels = _repaired(rows, centroids)
    for _ in range(num_steps):
        centroids = _means(rows, weight, labels, centroids)
        moved = _repaired(rows, centroids)
        if torch.equal(moved, labels):
            break
        labels = moved
    return Clusters(centroids + mean, _assign_all(x, centroids + mean))


def nearest(x: Tensor, centroids: Tensor) -> Tensor:
    r"""The nearest centroid of each row, the first of several, ``int64`` ``[N]``.

    :math:`\arg\min_k \lVert c_k \rVert^2 - 2 x_v^\top c_k`, in blocks of rows, around
    the mean of the centroids, where a difference of squares loses the fewest digits.

    Example:
        >>> nearest(torch.tensor([[0.9], [0.2]]), torch.tensor([[0.0], [1.0]]))
        tensor([1, 0])
    """
    x, centroids = x.detach(), centroids.detach().float()
    mean = centroids.mean(dim=0)
    centroids = centroids - mean
    norms = centroids.square().sum(dim=1)
    columns = centroids.t().contiguous()
    labels = torch.empty(x.size(0), dtype=torch.int64, device=x.device)
    on_cpu = x.device.type == "cpu"
    elements = _CACHED_ELEMENTS if on_cpu else CHUNK_ELEMENTS
    step = max(64, elements // centroids.size(0))
    distances = torch.empty(min(step, x.size(0)), len(centroids), device=x.device)
    for start in range(0, x.size(0), step):
        block = x[start : start + step].float() - mean
        found = distances[: block.size(0)]
        torch.addmm(norms, block, columns, alpha=-2.0, out=found)
        if on_cpu:
            # Several times faster than torch's, and as exact.
            found.numpy().argmin(axis=1, out=labels[start : start + step].numpy())
        else:
            labels[start : start + step] = found.argmin(dim=1)
    return labels


def _training_rows(
    x: Tensor, num_clusters: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Distinct rows and how often each occurs, of a sample if that is enough."""
    limit = ROWS_PER_CLUSTER * num_clusters
    if x.size(0) > limit:
        drawn = torch.randperm(x.size(0), generator=generator)[:limit]
        sample = x[drawn.sort().values.to(x.device)]
        first, inverse = distinct(sample)
        if first.numel() >= num_clusters:
            return sample[first], inverse.bincount().float()
    first, inverse = distinct(x)
    if first.numel() < num_clusters:
        raise ValueError(
            f"kmeans expects at least as many distinct rows as clusters, got "
            f"{first.numel()} distinct rows of {x.size(0)} for {num_clusters} "
            f"clusters; ask for at most {first.numel()}"
        )
    return x[first], inverse.bincount().float()


def _plus_plus(
    rows: Tensor, weight: Tensor, num_clusters: int, generator: torch.Generator
) -> Tensor:
    """Draw rows one after the other with probability ~ squared distance."""
    limit = _START_ROWS_PER_CLUSTER * num_clusters
    if rows.size(0) > limit:
        drawn = torch.randperm(rows.size(0), generator=generator)[:limit]
        drawn = drawn.sort().values.to(rows.device)
        rows, weight = rows[drawn], weight[drawn]
    chosen = torch.multinomial(weight.cpu(), 1, generator=generator).to(rows.device)
    distance = torch.full_like(weight, torch.inf)
    new = chosen
    while True:
        for center in torch.split(rows[new], _block_rows(rows.size(0))):
            distance = torch.minimum(distance, _squared(rows, center))
        distance[new] = 0.0
        missing = num_clusters - chosen.numel()
        if missing == 0:
            return rows[chosen]
        # Several at once where K is large, as k-means|| draws them.
        count = min(missing, 1 + num_clusters // _START_ROUNDS)
        odds = (weight * distance).cpu().double()
        possible = int((odds > 0).sum())
        if possible < count:
            # All that rounding leaves apart is drawn: the rest is as good as equal.
            odds, count = torch.ones_like(odds), min(count, rows.size(0))
            odds[chosen.cpu()] = 0.0
        new = torch.multinomial(odds, count, generator=generator).to(rows.device)
        chosen = torch.cat((chosen, new))


def _block_rows(num_rows: int) -> int:
    return max(1, CHUNK_ELEMENTS // num_rows)


def _squared(rows: Tensor, centers: Tensor) -> Tensor:
    """Squared distance to the nearest of a few centres."""
    norms = rows.square().sum(dim=1, keepdim=True) + centers.square().sum(dim=1)
    distances = torch.addmm(norms, rows, centers.t(), alpha=-2.0)
    return distances.amin(dim=1).clamp_(min=0.0)


def _means(rows: Tensor, weight: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    """Weighted means; none is empty, see :func:`_repaired`."""
    sums = torch.zeros_like(centroids)
    mass = torch.zeros_like(centroids[:, 0])
    weighted = rows * weight[:, None]
    if rows.is_cuda:
        # Sorted first: unlike index_add_, that gives the same sums every time.
        sums.index_put_((labels,), weighted, accumulate=True)
        mass.index_put_((labels,), weight, accumulate=True)
    else:
        sums.index_add_(0, labels, weighted)
        mass.index_add_(0, labels, weight)
    return sums / mass[:, None]


def _repaired(rows: Tensor, centroids: Tensor) -> Tensor:
    """Assign distinct rows, and move centroids (in place) that no row is nearest to."""
    labels = nearest(rows, centroids)
    counts = labels.bincount(minlength=centroids.size(0))
    empty = (counts == 0).nonzero().flatten().tolist()
    if not empty:
        return labels
    distance = rows.new_empty(len(rows))
    step = max(1, CHUNK_ELEMENTS // rows.size(1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        distance[part] = (rows[part] - centroids[labels[part]]).square().sum(dim=1)
    left = counts.tolist()
    owners = labels.tolist()
    farthest = iter(distance.argsort(descending=True, stable=True).tolist())
    for cluster in empty:
        row = next(row for row in farthest if left[owners[row]] > 1)
        left[owners[row]] -= 1
        owners[row], left[cluster] = cluster, 1
        labels[row] = cluster
        centroids[cluster] = rows[row]
    return labels


def _assign_all(x: Tensor, centroids: Tensor) -> Tensor:
    """Assign every row; where rounding leaves a cluster empty, distinct rows first."""
    labels = nearest(x, centroids)
    if int(labels.bincount(minlength=centroids.size(0)).min()) > 0:
        return labels
    first, inverse = distinct(x)
    return _repaired(x[first], centroids)[inverse]
