"""Vectors of words, read off the sentences of the training part."""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor

from benchmarks.text_classification.vocabulary import Part


def cooccurrence_vectors(
    part: Part,
    num_words: int,
    dim: int,
    *,
    window: int = 5,
    label_weight: float = 0.0,
    seed: int = 0,
) -> Tensor:
    r"""Factorise how much more often words come together than by chance.

    :math:`U \Sigma^{1/2}` of the truncated SVD of the positive pointwise mutual
    information, :math:`\max(0, \ln \frac{n_{vw} n}{n_v n_w})` (Levy, Goldberg, NIPS
    2014), where :math:`n_{vw}` counts how often w comes within ``window`` words of v.

    Args:
        part: Training sentences.
        num_words: Number of words N, the unknown one included.
        dim: Width of a vector C, below N.
        window: Reach of a word to each side. (default: ``5``)
        label_weight: How much the last columns, one per class, count: the log-ratio of
            a word's share of the class's words and of all words, smoothed by one
            occurrence. 0 leaves them zero. (default: ``0.0``)
        seed: Of the SVD's start. (default: ``0``)

    Returns:
        ``[N, C]`` float32; words that come with no other are zero.
    """
    classes = int(part.labels.max()) + 1 if label_weight > 0 else 0
    left, right = _pairs(part, window)
    ones = np.ones(len(left), dtype=np.float64)
    counts = sparse.csr_array((ones, (left, right)), shape=(num_words, num_words))
    counts.sum_duplicates()
    total: np.ndarray = np.asarray(counts.sum(axis=1)).ravel()
    rows = np.repeat(np.arange(num_words), np.diff(counts.indptr))
    chance = total[rows] * total[counts.indices] / total.sum()
    counts.data = np.maximum(0.0, np.log(counts.data / chance))
    start = np.random.default_rng(seed).standard_normal(num_words)
    u, sigma, _ = svds(counts, k=dim - classes, v0=start)
    vectors = torch.from_numpy((u * np.sqrt(sigma))[:, ::-1].copy()).float()
    if not classes:
        return vectors
    told = _class_ratios(part, num_words, classes)
    scale = vectors.norm() / told.norm().clamp(min=1e-12)
    return torch.cat([vectors, label_weight * scale * told], dim=1)


def _pairs(part: Part, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Every word with every other within reach, both ways round."""
    left, right = [], []
    for row in part.rows:
        words = row.numpy()
        for reach in range(1, min(window, len(words) - 1) + 1):
            left += [words[:-reach], words[reach:]]
            right += [words[reach:], words[:-reach]]
    return np.concatenate(left), np.concatenate(right)


def _class_ratios(part: Part, num_words: int, classes: int) -> Tensor:
    """Log-ratios ``[N, classes]`` of a word's share in a class and in all of them."""
    counts = torch.zeros(num_words, classes)
    for row, label in zip(part.rows, part.labels.tolist(), strict=True):
        counts[:, label] += torch.bincount(row, minlength=num_words)
    prior = counts.sum(dim=0) / counts.sum()
    smoothed = (counts + prior) / (counts.sum(dim=1, keepdim=True) + 1)
    return (smoothed / prior).log()
