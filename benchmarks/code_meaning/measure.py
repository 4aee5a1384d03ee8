"""What codes say: their use, the purity of near pairs, and a map of codewords."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdgraph.code_stats import code_stats
from kdgraph.codes import CodeTable

CHUNK_ROWS = 256
"""Nodes that are compared with all others at once."""
MAP_CHOICES = 8
"""Choices that a position needs to be drawn as a map."""


def usage(codes: Tensor, sizes: tuple[int, ...]) -> dict[str, Any]:
    """How the alphabets are used by all nodes.

    Args:
        codes: ``[N, D]``.
        sizes: Choices per position.

    Returns:
        Per position ``choices``, ``perplexity`` and ``dead``, the share of codewords
        that no node has; and the share of code rows that are distinct, ``unique``.
    """
    stats = code_stats(CodeTable.from_codes(codes, sizes))
    return {
        "choices": list(sizes),
        "perplexity": list(stats.perplexity),
        "dead": [1.0 - used for used in stats.usage],
        "unique": stats.unique_ratio,
    }


def purity_by_distance(codes: Tensor, y: Tensor) -> dict[str, list[int]]:
    """Over all pairs of nodes: how many are as far apart, and of one class.

    Two codes are as far apart as the positions are many in which they differ
    (Hamming distance).

    Args:
        codes: ``[M, D]``.
        y: Class of each node ``[M]``.

    Returns:
        ``pairs`` and ``same``, each with an entry for every distance from 0 to D.

    Example:
        >>> codes = torch.tensor([[0, 1], [0, 1], [0, 2]])
        >>> purity_by_distance(codes, torch.tensor([5, 5, 6]))
        {'pairs': [1, 2, 0], 'same': [1, 0, 0]}
    """
    nodes, positions = codes.shape
    # One byte per comparison.
    columns = codes.t().to(torch.int32).contiguous()
    pairs = torch.zeros(positions + 1, dtype=torch.int64)
    same = torch.zeros(positions + 1, dtype=torch.int64)
    for start in range(0, nodes, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, nodes)
        apart = torch.zeros(stop - start, nodes - start, dtype=torch.int32)
        for column in columns:
            apart += column[start:stop, None] != column[None, start:]
        # Each pair once: the later node stands in the column.
        once = torch.ones_like(apart, dtype=torch.bool).triu(diagonal=1)
        alike = y[start:stop, None] == y[None, start:]
        pairs += torch.bincount(apart[once], minlength=positions + 1)
        same += torch.bincount(apart[once & alike], minlength=positions + 1)
    return {"pairs": pairs.tolist(), "same": same.tolist()}


def majority(codes: Tensor, sizes: tuple[int, ...], y: Tensor) -> list[float]:
    """Per position the share of nodes in the most frequent class of their codeword.

    Args:
        codes: ``[M, D]``.
        sizes: Choices per position.
        y: Class of each node ``[M]``.

    Example:
        >>> codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> majority(codes, (2, 2), torch.tensor([3, 3, 1, 1]))
        [1.0, 0.5]
    """
    return [
        float(_classes(codes[:, position], size, y).amax(dim=1).sum()) / y.numel()
        for position, size in enumerate(sizes)
    ]


def shuffled_majority(
    codes: Tensor, sizes: tuple[int, ...], y: Tensor, seed: int = 0
) -> list[float]:
    """The same with classes dealt to nodes at random.

    An alphabet of this size reaches it without saying anything.
    """
    generator = torch.Generator().manual_seed(seed)
    return majority(codes, sizes, y[torch.randperm(y.numel(), generator=generator)])


def codeword_map(
    codewords: Tensor, codes: Tensor, known: Tensor, y: Tensor
) -> dict[str, Any]:
    """The two directions in which the codewords of a position differ most.

    Principal components, every codeword weighted by its nodes.

    Args:
        codewords: Of the position, ``[K, S]``.
        codes: Of all nodes in this position, ``[N]``.
        known: Nodes whose classes are looked at, ids ``[M]``.
        y: Class of each of them ``[M]``.

    Returns:
        The share of the variance that is ``explained``, and of each codeword that is
        used ``x``, ``y``, how many ``nodes`` have it, the most frequent ``class`` of
        those that are known, ``None`` where none is, and the ``share`` of it.
    """
    counts = torch.bincount(codes, minlength=codewords.size(0))
    used = counts.nonzero().squeeze(1)
    weight = counts[used].double().unsqueeze(1)
    rows = codewords[used].double()
    rows -= (rows * weight).sum(dim=0) / weight.sum()
    _, singular, right = torch.linalg.svd(rows * weight.sqrt(), full_matrices=False)
    # The sign of a component is free: its largest entry is positive here.
    axes = right[:2]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes *= torch.where(largest < 0, -1.0, 1.0)
    places = rows @ axes.t()
    if places.size(1) < 2:
        places = torch.cat([places, torch.zeros_like(places)], dim=1)
    energy = singular.square()
    classes = _classes(codes[known], codewords.size(0), y)[used]
    found, best = classes.max(dim=1)
    total = classes.sum(dim=1)
    points = [
        {
            "x": round(float(place[0]), 5),
            "y": round(float(place[1]), 5),
            "nodes": int(counts[codeword]),
            "class": int(best[index]) if total[index] else None,
            "share": float(found[index] / total[index]) if total[index] else None,
        }
        for index, (codeword, place) in enumerate(zip(used, places, strict=True))
    ]
    explained = float(energy[:2].sum() / energy.sum().clamp(min=1e-30))
    return {"explained": explained, "points": points}


def _classes(codes: Tensor, size: int, y: Tensor) -> Tensor:
    """How often each codeword meets each class, ``[K, T]``."""
    classes = int(y.max()) + 1
    return torch.bincount(codes * classes + y, minlength=size * classes).view(
        size, classes
    )
