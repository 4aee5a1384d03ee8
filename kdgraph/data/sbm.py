"""A generated graph: the degree-corrected stochastic block model."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kdgraph.data._assemble import assemble
from kdgraph.data.graph import Graph


def sbm(
    num_nodes: int = 20_000,
    *,
    num_classes: int = 10,
    blocks_per_class: int = 8,
    mean_degree: float = 10.0,
    within_block: float = 0.42,
    within_class: float = 0.2,
    exponent: float = 2.8,
    train_fraction: float = 0.1,
    valid_fraction: float = 0.1,
    directed: bool = False,
    seed: int = 0,
) -> Graph:
    r"""Draw a degree-corrected stochastic block model with two levels.

    Every class consists of several blocks. A node :math:`v` has a propensity
    :math:`\theta_v` with :math:`P(\theta > t) = t^{1-\gamma}`, cut at
    :math:`\sqrt{N}`. An edge takes its first end with probability proportional to
    :math:`\theta`, and its second end the same way from the first end's block (with
    probability ``within_block``), its class (``within_class``) or the whole graph. So
    the structure is hierarchical, degrees are skewed, and some nodes stay isolated.
    The label is the class. Splits are drawn uniformly: by default 10 % of the nodes
    train, 10 % validate and the rest test. Label propagation then reaches about 77 %.

    Args:
        num_nodes: Number of nodes, N.
        num_classes: Number of classes.
        blocks_per_class: Number of blocks in every class.
        mean_degree: Mean degree before repeated edges and self-loops are dropped.
        within_block: Probability that an edge stays in its block.
        within_class: Probability that it is drawn inside its class otherwise.
        exponent: Exponent :math:`\gamma > 2` of the degree distribution.
        train_fraction: Share of nodes to train on.
        valid_fraction: Share of nodes to validate on.
        directed: Keep every edge one way, from its first end to its second.
        seed: The same seed draws the same graph.

    Returns:
        The graph, named ``'sbm'``.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> graph = sbm(num_nodes=1000, num_classes=4, seed=1)
        >>> graph.train_idx.numel(), graph.valid_idx.numel(), graph.test_idx.numel()
        (100, 100, 800)
    """
    _check_counts(
        num_nodes=num_nodes, num_classes=num_classes, blocks_per_class=blocks_per_class
    )
    num_train, num_valid = _check_rest(
        num_nodes, mean_degree, within_block, within_class, exponent,
        train_fraction, valid_fraction, seed,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    num_blocks = num_classes * blocks_per_class
    block = rng.choice(
        num_blocks, size=num_nodes, p=rng.dirichlet(np.full(num_blocks, 10.0))
    )
    theta = (1.0 - rng.random(num_nodes)) ** (-1.0 / (exponent - 1.0))
    np.minimum(theta, max(math.sqrt(num_nodes), 1.0), out=theta)

    # Sorted by block, every block and every class is one interval of the line on
    # which node v occupies a piece of length theta_v.
    order = np.argsort(block, kind="stable")
    line = np.concatenate([[0.0], np.cumsum(theta[order])])
    blocks = np.searchsorted(block[order], np.arange(num_blocks + 1))
    num_edges = round(num_nodes * mean_degree / 2)
    first = _pick(line, np.zeros(num_edges), np.full(num_edges, line[-1]), rng)
    level = rng.random(num_edges)
    own = block[order][first]
    start, stop = np.zeros_like(own), np.full_like(own, num_blocks)
    in_class = level < within_block + within_class
    start[in_class] = own[in_class] // blocks_per_class * blocks_per_class
    stop[in_class] = start[in_class] + blocks_per_class
    in_block = level < within_block
    start[in_block], stop[in_block] = own[in_block], own[in_block] + 1
    second = _pick(line, line[blocks[start]], line[blocks[stop]], rng)

    edge_index = order[np.stack([first, second])]
    perm = rng.permutation(num_nodes)
    return assemble(
        "sbm",
        edge_index[:, edge_index[0] != edge_index[1]],
        block // blocks_per_class,
        {
            "train_idx": np.sort(perm[:num_train]),
            "valid_idx": np.sort(perm[num_train : num_train + num_valid]),
            "test_idx": np.sort(perm[num_train + num_valid :]),
        },
        num_nodes,
        where="sbm",
        directed=directed,
        notes=(f"generated with seed {seed}",),
        num_classes=num_classes,
    )


def _pick(
    line: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    at = low + rng.random(low.size) * (high - low)
    # Rounding may put a point on the right edge of the line, which is no piece.
    found: NDArray[np.intp] = np.searchsorted(line, at, side="right") - 1
    found[found > line.size - 2] = line.size - 2
    return found


def _check_counts(**counts: int) -> None:
    for key, value in counts.items():
        if value < 1:
            raise ValueError(f"'sbm' expects '{key}' to be positive (got {value}).")
    if counts["num_nodes"] < 3:
        raise ValueError(
            f"'sbm' expects at least 3 'num_nodes', one per split (got "
            f"{counts['num_nodes']})."
        )


def _check_rest(
    num_nodes: int,
    mean_degree: float,
    within_block: float,
    within_class: float,
    exponent: float,
    train_fraction: float,
    valid_fraction: float,
    seed: int,
) -> tuple[int, int]:
    if not 0 <= mean_degree < math.inf:
        raise ValueError(f"'sbm' expects 'mean_degree' >= 0 (got {mean_degree}).")
    if not (
        within_block >= 0 and within_class >= 0 and within_block + within_class <= 1
    ):
        raise ValueError(
            "'sbm' expects 'within_block' and 'within_class' >= 0 with a sum of at "
            f"most 1 (got {within_block} and {within_class})."
        )
    if not 2 < exponent < math.inf:
        raise ValueError(f"'sbm' expects 'exponent' > 2 (got {exponent}).")
    if seed < 0:
        raise ValueError(f"'sbm' expects 'seed' >= 0 (got {seed}).")
    if not (train_fraction > 0 and valid_fraction > 0):
        raise ValueError(
            "'sbm' expects positive 'train_fraction' and 'valid_fraction' (got "
            f"{train_fraction} and {valid_fraction})."
        )
    if train_fraction + valid_fraction >= 1:
        raise ValueError(
            "'sbm' expects 'train_fraction' + 'valid_fraction' < 1 so that nodes are "
            f"left to test on (got {train_fraction} and {valid_fraction})."
        )
    num_train = min(max(1, round(num_nodes * train_fraction)), num_nodes - 2)
    num_valid = max(1, round(num_nodes * valid_fraction))
    return num_train, min(num_valid, num_nodes - 1 - num_train)
