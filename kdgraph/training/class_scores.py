"""Class scores that cost nothing per node, their alpha chosen on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from kdgraph.baselines import LabelPropagation
from kdgraph.baselines.spreading import Normalization, Spreading, clamp_labels
from kdgraph.data import Graph
from kdgraph.training.metric import Metric


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Scores of the classes, and how they were chosen.

    Args:
        scores: ``[N, T]``, of nodes and classes; at least 0.
        alpha: How much came from neighbours.
        valid_scores: Of every alpha tried, in their order.
        metric: By which it was chosen, with the threshold for these scores.
    """

    scores: Tensor
    alpha: float
    valid_scores: tuple[float, ...]
    metric: Metric


def propagated_scores(
    graph: Graph,
    alphas: Sequence[float] = (0.5, 0.9, 0.95, 0.99),
    *,
    normalization: Normalization = "symmetric",
    clamp: bool = False,
    metric: Metric | None = None,
) -> ClassScores:
    """What label propagation says, with the alpha that is best on validation.

    Four arrays ``[N, T]`` at most exist at a time.

    Args:
        graph: The graph; of its test nodes, labels are not read.
        alphas: What validation chooses from; the first of equals.
            (default: ``(0.5, 0.9, 0.95, 0.99)``)
        normalization: Of the adjacency. (default: ``"symmetric"``)
        clamp: Whether scores are kept in [0, 1]. (default: ``False``)
        metric: By which validation chooses. (default: the graph's usual one)

    Example:
        >>> from kdgraph.data import sbm
        >>> found = propagated_scores(sbm(num_nodes=500, seed=0))
        >>> found.scores.shape, len(found.valid_scores)
        (torch.Size([500, 10]), 4)
    """
    return _best(
        graph,
        alphas,
        lambda alpha: LabelPropagation(alpha, normalization=normalization, clamp=clamp)(
            graph.adj, graph.y, graph.train_idx, graph.num_classes
        ),
        metric,
    )


def diffused_scores(
    graph: Graph,
    probabilities: Tensor,
    alphas: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    num_steps: int = 20,
) -> ClassScores:
    r"""A model's own class probabilities, spread over the graph.

    Training nodes show their labels instead of what the model says of them. Four arrays
    ``[N, T]`` beside the probabilities at most exist at a time.

    Args:
        graph: The graph; of its test nodes, labels are not read.
        probabilities: ``[N, T]``, of nodes and classes.
        alphas: What validation chooses from; the first of equals.
            (default: ``(0.5, 0.8, 0.9, 0.95)``)
        num_steps: Iterations. (default: ``20``)

    Raises:
        ValueError: Probabilities of another shape.

    Example:
        >>> import torch
        >>> from kdgraph.data import sbm
        >>> graph = sbm(num_nodes=500, seed=0)
        >>> found = diffused_scores(graph, torch.full((500, 10), 0.1))
        >>> found.scores.shape, found.alpha in (0.5, 0.8, 0.9, 0.95)
        (torch.Size([500, 10]), True)
    """
    check_shape("diffused_scores", "probabilities", graph, probabilities)
    seeds = clamp_labels(probabilities.detach().clone(), graph.y, graph.train_idx)
    spread = Spreading(graph.adj)
    return _best(graph, alphas, lambda alpha: spread(seeds, alpha, num_steps))


def check_shape(owner: str, what: str, graph: Graph, given: Tensor) -> None:
    """Refuse what is not one number per node and class.

    Raises:
        ValueError: Another shape.
    """
    if given.shape != (graph.num_nodes, graph.num_classes):
        raise ValueError(
            f"{owner} expects {what} of shape [{graph.num_nodes}, "
            f"{graph.num_classes}], got {list(given.shape)}"
        )


def _best(
    graph: Graph,
    alphas: Sequence[float],
    make: Callable[[float], Tensor],
    metric: Metric | None = None,
) -> ClassScores:
    metric = metric or Metric(graph.metric)
    rows, valid = graph.valid_idx, list[float]()
    best: tuple[Tensor, float, Metric] | None = None
    for alpha in alphas:
        scores = make(alpha)
        shown = scores[rows.to(scores.device)].cpu()
        fitted = metric.fitted(shown, graph.y[rows])
        valid.append(fitted(shown, graph.y[rows]))
        if best is None or valid[-1] > max(valid[:-1]):
            best = scores, alpha, fitted
    if best is None:
        raise ValueError("choosing alpha needs at least one to choose from, got none")
    return ClassScores(best[0], best[1], tuple(valid), best[2])
